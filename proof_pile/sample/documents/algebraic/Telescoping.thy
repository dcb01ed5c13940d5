theory Telescoping
  imports Main "HOL.Real"
begin

section \<open>Telescoping sums and two classical inequalities\<close>

text \<open>
  A sum of differences of neighbours collapses to the difference of its ends.  From this one lemma
  follow closed forms for several finite sums.
\<close>

lemma telescope:
  fixes f :: "nat \<Rightarrow> real"
  shows "(\<Sum>i<n. f (Suc i) - f i) = f n - f 0"
proof (induction n)
  case 0
  then show ?case by simp
next
  case (Suc n)
  then show ?case by simp
qed

lemma sum_reciprocal_products:
  "(\<Sum>i<n. 1 / (real (i + 1) * real (i + 2))) = 1 - 1 / real (n + 1)"
proof (induction n)
  case 0
  show ?case by simp
next
  case (Suc n)
  have "(\<Sum>i<Suc n. 1 / (real (i + 1) * real (i + 2)))
      = 1 - 1 / real (n + 1) + 1 / (real (n + 1) * real (n + 2))"
    using Suc.IH by simp
  also have "\<dots> = 1 - 1 / real (Suc n + 1)"
    by (simp add: field_simps)
  finally show ?case .
qed

theorem gauss_sum: "2 * (\<Sum>i\<le>n. i) = n * (n + 1)" for n :: nat
  by (induction n) auto

theorem odd_sum: "(\<Sum>i<n. 2 * i + 1) = n ^ 2" for n :: nat
  by (induction n) (auto simp: power2_eq_square)

theorem geometric_sum:
  fixes q :: real
  assumes "q \<noteq> 1"
  shows "(\<Sum>i<n. q ^ i) = (q ^ n - 1) / (q - 1)"
proof (induction n)
  case 0
  show ?case by simp
next
  case (Suc n)
  have "(\<Sum>i<Suc n. q ^ i) = (q ^ n - 1) / (q - 1) + q ^ n"
    using Suc.IH by simp
  also have "\<dots> = (q ^ n - 1 + q ^ n * (q - 1)) / (q - 1)"
    using assms by (simp add: field_simps)
  also have "\<dots> = (q ^ Suc n - 1) / (q - 1)"
    by (simp add: algebra_simps)
  finally show ?case .
qed

section \<open>Inequalities\<close>

lemma arithmetic_geometric_two:
  fixes a b :: real
  assumes "0 \<le> a" and "0 \<le> b"
  shows "a * b \<le> ((a + b) / 2) ^ 2"
proof -
  have "0 \<le> (a - b) ^ 2" by simp
  then have "4 * (a * b) \<le> (a + b) ^ 2"
    by (simp add: power2_eq_square algebra_simps)
  then show ?thesis
    by (simp add: power_divide)
qed

theorem bernoulli:
  fixes x :: real
  assumes "- 1 \<le> x"
  shows "1 + real n * x \<le> (1 + x) ^ n"
proof (induction n)
  case 0
  show ?case by simp
next
  case (Suc n)
  have "0 \<le> 1 + x" using assms by simp
  have "1 + real (Suc n) * x \<le> 1 + real (Suc n) * x + real n * x ^ 2"
    by simp
  also have "\<dots> = (1 + real n * x) * (1 + x)"
    by (simp add: power2_eq_square algebra_simps)
  also have "\<dots> \<le> (1 + x) ^ n * (1 + x)"
    using Suc.IH \<open>0 \<le> 1 + x\<close> by (rule mult_right_mono)
  also have "\<dots> = (1 + x) ^ Suc n" by simp
  finally show ?case .
qed

lemma cauchy_schwarz_plane:
  fixes a b c d :: real
  shows "(a * c + b * d) ^ 2 \<le> (a ^ 2 + b ^ 2) * (c ^ 2 + d ^ 2)"
proof -
  have "(a ^ 2 + b ^ 2) * (c ^ 2 + d ^ 2) - (a * c + b * d) ^ 2 = (a * d - b * c) ^ 2"
    by (simp add: power2_eq_square algebra_simps)
  moreover have "0 \<le> (a * d - b * c) ^ 2" by simp
  ultimately show ?thesis by linarith
qed

end
