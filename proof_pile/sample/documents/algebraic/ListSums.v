(** Sums of lists of natural numbers, permutations, and Gauss's formula. *)

Require Import Coq.Lists.List.
Require Import Coq.Arith.Arith.
Require Import Coq.micromega.Lia.
Require Import Coq.Sorting.Permutation.
Import ListNotations.

Fixpoint sum (l : list nat) : nat :=
  match l with
  | [] => 0
  | x :: t => x + sum t
  end.

Lemma sum_app : forall l1 l2, sum (l1 ++ l2) = sum l1 + sum l2.
Proof.
  induction l1 as [| x t IH]; intros l2; simpl.
  - reflexivity.
  - rewrite IH. lia.
Qed.

Lemma sum_rev : forall l, sum (rev l) = sum l.
Proof.
  induction l as [| x t IH]; simpl.
  - reflexivity.
  - rewrite sum_app. simpl. rewrite IH. lia.
Qed.

(** The sum does not see the order of the summands. *)
Theorem sum_permutation : forall l1 l2,
  Permutation l1 l2 -> sum l1 = sum l2.
Proof.
  intros l1 l2 H. induction H; simpl.
  - reflexivity.
  - rewrite IHPermutation. reflexivity.
  - lia.
  - rewrite IHPermutation1. assumption.
Qed.

Lemma sum_map_scale : forall c l, sum (map (fun x => c * x) l) = c * sum l.
Proof.
  intros c. induction l as [| x t IH]; simpl.
  - lia.
  - rewrite IH. lia.
Qed.

Lemma sum_map_add : forall (f g : nat -> nat) l,
  sum (map (fun x => f x + g x) l) = sum (map f l) + sum (map g l).
Proof.
  intros f g. induction l as [| x t IH]; simpl.
  - reflexivity.
  - rewrite IH. lia.
Qed.

(** The numbers below [n] in falling order. *)
Fixpoint below (n : nat) : list nat :=
  match n with
  | 0 => []
  | S m => m :: below m
  end.

Lemma in_below : forall n x, In x (below n) <-> x < n.
Proof.
  induction n as [| m IH]; intros x; simpl.
  - split; [intros [] | lia].
  - rewrite IH. lia.
Qed.

Lemma length_below : forall n, length (below n) = n.
Proof.
  induction n as [| m IH]; simpl; [reflexivity | rewrite IH; reflexivity].
Qed.

Theorem gauss : forall n, 2 * sum (below (S n)) = n * (n + 1).
Proof.
  induction n as [| m IH].
  - reflexivity.
  - replace (sum (below (S (S m)))) with (S m + sum (below (S m))) by reflexivity.
    rewrite Nat.mul_add_distr_l. rewrite IH. ring.
Qed.

Definition square (n : nat) : nat := n * n.

Theorem sum_of_squares : forall n,
  6 * sum (map square (below (S n))) = n * (n + 1) * (2 * n + 1).
Proof.
  induction n as [| m IH].
  - reflexivity.
  - replace (sum (map square (below (S (S m)))))
      with (square (S m) + sum (map square (below (S m)))) by reflexivity.
    rewrite Nat.mul_add_distr_l. rewrite IH. unfold square. ring.
Qed.

(** The first [n] odd numbers add up to the square of [n]. *)
Definition odd_number (k : nat) : nat := 2 * k + 1.

Theorem sum_of_odds : forall n, sum (map odd_number (below n)) = square n.
Proof.
  induction n as [| m IH]; simpl.
  - reflexivity.
  - rewrite IH. unfold odd_number, square. ring.
Qed.

(** A list whose entries are at most [b] has a sum of at most [b] times its length. *)
Lemma sum_bound : forall b l,
  (forall x, In x l -> x <= b) -> sum l <= b * length l.
Proof.
  intros b. induction l as [| x t IH]; intros H; simpl.
  - lia.
  - assert (Hx : x <= b) by (apply H; left; reflexivity).
    assert (Ht : sum t <= b * length t) by (apply IH; intros y Hy; apply H; right; exact Hy).
    rewrite Nat.mul_succ_r. lia.
Qed.

(** The pigeonhole principle in the form used for averages. *)
Theorem some_entry_above_average : forall b l,
  b * length l < sum l -> exists x, In x l /\ b < x.
Proof.
  intros b. induction l as [| x t IH]; simpl; intros H.
  - lia.
  - destruct (le_lt_dec x b) as [Hle | Hlt].
    + destruct IH as [y [Hy Hlt]].
      * rewrite Nat.mul_succ_r in H. lia.
      * exists y. split; [right; exact Hy | exact Hlt].
    + exists x. split; [left; reflexivity | exact Hlt].
Qed.
