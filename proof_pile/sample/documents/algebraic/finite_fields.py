"""Arithmetic of finite fields with p^n elements, with tables of logarithms in numpy."""

import itertools

import numpy as np


def is_prime(p):
    """Trial division; the fields of this module are small."""
    return p > 1 and all(p % d for d in range(2, int(p**0.5) + 1))


def poly_mod_mul(a, b, modulus, p):
    """Product of two coefficient tuples (constant term first) modulo a monic polynomial over GF(p)."""
    product = [0] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            product[i + j] = (product[i + j] + x * y) % p
    n = len(modulus) - 1
    for k in range(len(product) - 1, n - 1, -1):
        factor = product[k]
        for j in range(n + 1):
            product[k - n + j] = (product[k - n + j] - factor * modulus[j]) % p
    return tuple(product[:n]) + (0,) * (n - len(product))


def find_primitive_polynomial(p, n):
    """The first monic polynomial of degree n modulo which x generates all p^n - 1 units."""
    order = p**n - 1
    one = (1,) + (0,) * (n - 1)
    for low in itertools.product(range(p), repeat=n):
        if low[0] == 0:
            continue
        modulus = (*low, 1)
        x = (0, 1) + (0,) * (n - 2) if n > 1 else ((-low[0]) % p,)
        power, k = x, 1
        while power != one and k <= order:
            power = poly_mod_mul(power, x, modulus, p)
            k += 1
        if power == one and k == order:
            return modulus
    raise ValueError(f"no primitive polynomial of degree {n} over GF({p})")


class FiniteField:
    """GF(p^n).  Elements are the integers below p^n, read as polynomials in base p."""

    def __init__(self, p, n=1):
        if not is_prime(p):
            raise ValueError(f"{p} is not a prime")
        self.p, self.n, self.order = p, n, p**n
        self.modulus = find_primitive_polynomial(p, n)
        self._build_tables()

    def _build_tables(self):
        weights = [self.p**i for i in range(self.n)]
        x = (0, 1) + (0,) * (self.n - 2) if self.n > 1 else ((-self.modulus[0]) % self.p,)
        element = (1,) + (0,) * (self.n - 1)
        self.exp = np.zeros(2 * (self.order - 1), dtype=np.int64)
        self.log = np.zeros(self.order, dtype=np.int64)
        for k in range(self.order - 1):
            value = sum(c * w for c, w in zip(element, weights))
            self.exp[k] = self.exp[k + self.order - 1] = value
            self.log[value] = k
            element = poly_mod_mul(element, x, self.modulus, self.p)

    def add(self, a, b):
        """Digit by digit without carries."""
        a, b = np.asarray(a), np.asarray(b)
        total = np.zeros(np.broadcast(a, b).shape, dtype=np.int64)
        weight = 1
        for _ in range(self.n):
            total += (a // weight + b // weight) % self.p * weight
            weight *= self.p
        return total

    def mul(self, a, b):
        """Through logarithms; zero has none and is treated apart."""
        a, b = np.asarray(a), np.asarray(b)
        product = self.exp[self.log[a] + self.log[b]]
        return np.where((a == 0) | (b == 0), 0, product)

    def inverse(self, a):
        a = np.asarray(a)
        if np.any(a == 0):
            raise ZeroDivisionError("zero has no inverse")
        return self.exp[(self.order - 1 - self.log[a]) % (self.order - 1)]

    def trace(self, a):
        """Sum of the conjugates a, a^p, ..., which lies in the prime field."""
        total, power = np.zeros_like(np.asarray(a)), np.asarray(a)
        for _ in range(self.n):
            total = self.add(total, power)
            conjugate = power
            for _ in range(self.p - 1):
                conjugate = self.mul(conjugate, power)
            power = conjugate
        return total


def check_axioms(field):
    """Distributivity and inverses over all elements; returns the number of identities looked at."""
    a = np.arange(field.order)
    grid = np.meshgrid(a, a, a)
    left = field.mul(grid[0], field.add(grid[1], grid[2]))
    right = field.add(field.mul(grid[0], grid[1]), field.mul(grid[0], grid[2]))
    assert np.array_equal(left, right)
    assert np.all(field.mul(a[1:], field.inverse(a[1:])) == 1)
    assert np.all(field.trace(a) < field.p)
    return left.size


if __name__ == "__main__":
    for p, n in [(2, 1), (2, 3), (2, 4), (3, 2), (5, 2), (7, 1)]:
        print(f"GF({p}^{n}): modulus {find_primitive_polynomial(p, n)}, {check_axioms(FiniteField(p, n))} identities")
