/-!
# Parity, divisibility and the infinitude of primes

A small development on the natural numbers that uses nothing beyond Lean's core library.
It ends with a proof that above every number there is a prime.
-/

namespace Parity

/-- A number is even if it is twice another one. -/
def Even (n : Nat) : Prop := ∃ k, n = 2 * k

/-- A number is odd if it is one more than an even number. -/
def Odd (n : Nat) : Prop := ∃ k, n = 2 * k + 1

theorem even_zero : Even 0 := ⟨0, rfl⟩

theorem odd_one : Odd 1 := ⟨0, rfl⟩

theorem Even.succ {n : Nat} (h : Even n) : Odd (n + 1) := by
  obtain ⟨k, hk⟩ := h
  exact ⟨k, by rw [hk]⟩

theorem Odd.succ {n : Nat} (h : Odd n) : Even (n + 1) := by
  obtain ⟨k, hk⟩ := h
  exact ⟨k + 1, by omega⟩

theorem even_or_odd (n : Nat) : Even n ∨ Odd n := by
  induction n with
  | zero => exact Or.inl even_zero
  | succ n ih =>
    cases ih with
    | inl h => exact Or.inr h.succ
    | inr h => exact Or.inl h.succ

theorem not_even_and_odd (n : Nat) : ¬ (Even n ∧ Odd n) := by
  rintro ⟨⟨a, ha⟩, ⟨b, hb⟩⟩
  omega

theorem Even.add {m n : Nat} (hm : Even m) (hn : Even n) : Even (m + n) := by
  obtain ⟨a, ha⟩ := hm
  obtain ⟨b, hb⟩ := hn
  exact ⟨a + b, by omega⟩

theorem Odd.add {m n : Nat} (hm : Odd m) (hn : Odd n) : Even (m + n) := by
  obtain ⟨a, ha⟩ := hm
  obtain ⟨b, hb⟩ := hn
  exact ⟨a + b + 1, by omega⟩

theorem Even.mul_right {m : Nat} (hm : Even m) (n : Nat) : Even (m * n) := by
  obtain ⟨a, ha⟩ := hm
  exact ⟨a * n, by rw [ha, Nat.mul_assoc]⟩

/-- Of two consecutive numbers one is even, so their product is. -/
theorem even_mul_succ (n : Nat) : Even (n * (n + 1)) := by
  cases even_or_odd n with
  | inl h => exact h.mul_right (n + 1)
  | inr h =>
    have h' : Even ((n + 1) * n) := h.succ.mul_right n
    rwa [Nat.mul_comm] at h'

end Parity

namespace Primes

/-- A prime is at least two and has no divisor but one and itself. -/
def Prime (p : Nat) : Prop := 2 ≤ p ∧ ∀ d, d ∣ p → d = 1 ∨ d = p

theorem two_prime : Prime 2 := by
  refine ⟨Nat.le_refl 2, ?_⟩
  intro d hd
  have hle : d ≤ 2 := Nat.le_of_dvd (by decide) hd
  match d, hle, hd with
  | 0, _, hd => simp at hd
  | 1, _, _ => exact Or.inl rfl
  | 2, _, _ => exact Or.inr rfl

/-- Every number from two on has a prime divisor: take a least divisor above one. -/
theorem exists_prime_divisor (n : Nat) (hn : 2 ≤ n) : ∃ p, Prime p ∧ p ∣ n := by
  induction n using Nat.strongRecOn with
  | _ n ih =>
    by_cases h : ∀ d, d ∣ n → d = 1 ∨ d = n
    · exact ⟨n, ⟨hn, h⟩, Nat.dvd_refl n⟩
    · simp only [Classical.not_forall, not_or] at h
      obtain ⟨d, hd, hd1, hdn⟩ := h
      have hpos : 0 < n := by omega
      have hdle : d ≤ n := Nat.le_of_dvd hpos hd
      have hd0 : d ≠ 0 := by
        intro h0
        rw [h0] at hd
        have := Nat.eq_zero_of_zero_dvd hd
        omega
      obtain ⟨p, hp, hpd⟩ := ih d (by omega) (by omega)
      exact ⟨p, hp, Nat.dvd_trans hpd hd⟩

/-- The product of the numbers from one to n. -/
def factorial : Nat → Nat
  | 0 => 1
  | n + 1 => (n + 1) * factorial n

theorem factorial_pos (n : Nat) : 0 < factorial n := by
  induction n with
  | zero => decide
  | succ n ih => exact Nat.mul_pos (Nat.succ_pos n) ih

theorem dvd_factorial {m n : Nat} (hm : 1 ≤ m) (hmn : m ≤ n) : m ∣ factorial n := by
  induction n with
  | zero => omega
  | succ n ih =>
    by_cases h : m = n + 1
    · rw [h]; exact Nat.dvd_mul_right (n + 1) (factorial n)
    · exact Nat.dvd_trans (ih (by omega)) (Nat.dvd_mul_left (factorial n) (n + 1))

/-- Euclid: a prime divisor of n! + 1 cannot be at most n. -/
theorem exists_prime_above (n : Nat) : ∃ p, n < p ∧ Prime p := by
  have hpos := factorial_pos n
  obtain ⟨p, hp, hdvd⟩ := exists_prime_divisor (factorial n + 1) (by omega)
  refine ⟨p, ?_, hp⟩
  apply Nat.lt_of_not_le
  intro hle
  have h1 : p ∣ factorial n := dvd_factorial (by have := hp.1; omega) hle
  have h2 : p ∣ 1 := (Nat.dvd_add_right h1).mp hdvd
  have h3 : p ≤ 1 := Nat.le_of_dvd (by decide) h2
  have h4 := hp.1
  omega

end Primes
