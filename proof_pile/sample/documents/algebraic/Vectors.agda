-- Natural numbers and vectors with their length in the type, from scratch.
module Vectors where

open import Agda.Builtin.Equality
open import Agda.Builtin.Nat using (Nat; zero; suc; _+_; _*_)

-- Equality is a congruence and an equivalence.

cong : {A B : Set} (f : A → B) {x y : A} → x ≡ y → f x ≡ f y
cong f refl = refl

sym : {A : Set} {x y : A} → x ≡ y → y ≡ x
sym refl = refl

trans : {A : Set} {x y z : A} → x ≡ y → y ≡ z → x ≡ z
trans refl q = q

infixr 2 _≡⟨_⟩_
infix  3 _∎

_≡⟨_⟩_ : {A : Set} (x : A) {y z : A} → x ≡ y → y ≡ z → x ≡ z
x ≡⟨ p ⟩ q = trans p q

_∎ : {A : Set} (x : A) → x ≡ x
x ∎ = refl

-- Laws of addition.

+-zero : (n : Nat) → n + zero ≡ n
+-zero zero    = refl
+-zero (suc n) = cong suc (+-zero n)

+-suc : (m n : Nat) → m + suc n ≡ suc (m + n)
+-suc zero    n = refl
+-suc (suc m) n = cong suc (+-suc m n)

+-assoc : (k m n : Nat) → (k + m) + n ≡ k + (m + n)
+-assoc zero    m n = refl
+-assoc (suc k) m n = cong suc (+-assoc k m n)

+-comm : (m n : Nat) → m + n ≡ n + m
+-comm zero    n = sym (+-zero n)
+-comm (suc m) n =
  suc m + n     ≡⟨ cong suc (+-comm m n) ⟩
  suc (n + m)   ≡⟨ sym (+-suc n m) ⟩
  n + suc m     ∎

-- Multiplication distributes over addition from the right.

*-distrib : (k m n : Nat) → (k + m) * n ≡ k * n + m * n
*-distrib zero    m n = refl
*-distrib (suc k) m n =
  n + (k + m) * n       ≡⟨ cong (λ t → n + t) (*-distrib k m n) ⟩
  n + (k * n + m * n)   ≡⟨ sym (+-assoc n (k * n) (m * n)) ⟩
  (n + k * n) + m * n   ∎

-- Vectors.

infixr 5 _∷_

data Vec (A : Set) : Nat → Set where
  []  : Vec A zero
  _∷_ : {n : Nat} → A → Vec A n → Vec A (suc n)

head : {A : Set} {n : Nat} → Vec A (suc n) → A
head (x ∷ _) = x

tail : {A : Set} {n : Nat} → Vec A (suc n) → Vec A n
tail (_ ∷ xs) = xs

map : {A B : Set} {n : Nat} → (A → B) → Vec A n → Vec B n
map f []       = []
map f (x ∷ xs) = f x ∷ map f xs

_++_ : {A : Set} {m n : Nat} → Vec A m → Vec A n → Vec A (m + n)
[]       ++ ys = ys
(x ∷ xs) ++ ys = x ∷ (xs ++ ys)

foldr : {A B : Set} {n : Nat} → (A → B → B) → B → Vec A n → B
foldr c e []       = e
foldr c e (x ∷ xs) = c x (foldr c e xs)

sum : {n : Nat} → Vec Nat n → Nat
sum = foldr _+_ zero

map-id : {A : Set} {n : Nat} (xs : Vec A n) → map (λ x → x) xs ≡ xs
map-id []       = refl
map-id (x ∷ xs) = cong (x ∷_) (map-id xs)

map-∘ : {A B C : Set} {n : Nat} (g : B → C) (f : A → B) (xs : Vec A n)
      → map (λ x → g (f x)) xs ≡ map g (map f xs)
map-∘ g f []       = refl
map-∘ g f (x ∷ xs) = cong (g (f x) ∷_) (map-∘ g f xs)

-- The sum of an appended vector is the sum of the sums.

sum-++ : {m n : Nat} (xs : Vec Nat m) (ys : Vec Nat n)
       → sum (xs ++ ys) ≡ sum xs + sum ys
sum-++ []       ys = refl
sum-++ (x ∷ xs) ys =
  x + sum (xs ++ ys)        ≡⟨ cong (λ t → x + t) (sum-++ xs ys) ⟩
  x + (sum xs + sum ys)     ≡⟨ sym (+-assoc x (sum xs) (sum ys)) ⟩
  (x + sum xs) + sum ys     ∎
