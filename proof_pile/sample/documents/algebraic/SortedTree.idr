||| Search trees, and a proof that flattening a map is mapping a flattening.
module SortedTree

%default total

public export
data Tree : Type -> Type where
  Leaf : Tree a
  Node : Tree a -> a -> Tree a -> Tree a

||| Insert an element; equal ones are not doubled.
export
insert : Ord a => a -> Tree a -> Tree a
insert x Leaf = Node Leaf x Leaf
insert x (Node l y r) = case compare x y of
  LT => Node (insert x l) y r
  EQ => Node l y r
  GT => Node l y (insert x r)

||| Elements from left to right.
export
toList : Tree a -> List a
toList Leaf = []
toList (Node l x r) = toList l ++ (x :: toList r)

export
mapTree : (a -> b) -> Tree a -> Tree b
mapTree f Leaf = Leaf
mapTree f (Node l x r) = Node (mapTree f l) (f x) (mapTree f r)

size : Tree a -> Nat
size Leaf = 0
size (Node l _ r) = size l + S (size r)

depth : Tree a -> Nat
depth Leaf = 0
depth (Node l _ r) = S (maximum (depth l) (depth r))

||| Mapping goes through append.
mapAppend : (f : a -> b) -> (xs, ys : List a) -> map f (xs ++ ys) = map f xs ++ map f ys
mapAppend f [] ys = Refl
mapAppend f (x :: xs) ys = cong (f x ::) (mapAppend f xs ys)

||| Flattening commutes with mapping.
flattenMap : (f : a -> b) -> (t : Tree a) -> toList (mapTree f t) = map f (toList t)
flattenMap f Leaf = Refl
flattenMap f (Node l x r) =
  rewrite flattenMap f l in
  rewrite flattenMap f r in
  sym (mapAppend f (toList l) (x :: toList r))

lengthAppend : (xs, ys : List a) -> length (xs ++ ys) = length xs + length ys
lengthAppend [] ys = Refl
lengthAppend (x :: xs) ys = cong S (lengthAppend xs ys)

||| The list of a tree is as long as the tree is large.
sizeIsLength : (t : Tree a) -> length (toList t) = size t
sizeIsLength Leaf = Refl
sizeIsLength (Node l x r) =
  rewrite lengthAppend (toList l) (x :: toList r) in
  rewrite sizeIsLength l in
  rewrite sizeIsLength r in
  Refl

||| Swap left and right everywhere.
mirror : Tree a -> Tree a
mirror Leaf = Leaf
mirror (Node l x r) = Node (mirror r) x (mirror l)

mirrorTwice : (t : Tree a) -> mirror (mirror t) = t
mirrorTwice Leaf = Refl
mirrorTwice (Node l x r) =
  rewrite mirrorTwice l in
  rewrite mirrorTwice r in
  Refl
