# Conjugate gradients, Newton's method and a small test problem for both.

module NewtonKrylov

using LinearAlgebra
using Test

export conjugate_gradient, newton, laplacian_1d

"""
    conjugate_gradient(A, b; tol = 1e-10, maxiter = length(b))

Solve `A x = b` for a symmetric positive definite `A`, which may be a matrix or any object with `A * v`.
Returns the solution and the number of iterations.  In exact arithmetic `length(b)` steps are enough.
"""
function conjugate_gradient(A, b; tol = 1e-10, maxiter = 10 * length(b))
    x = zero(b)
    r = copy(b)
    p = copy(r)
    rho = dot(r, r)
    target = tol^2 * rho
    for k in 1:maxiter
        rho <= target && return x, k - 1
        q = A * p
        curvature = dot(p, q)
        curvature > 0 || throw(DomainError(curvature, "the matrix is not positive definite"))
        alpha = rho / curvature
        x .+= alpha .* p
        r .-= alpha .* q
        rho_next = dot(r, r)
        p .= r .+ (rho_next / rho) .* p
        rho = rho_next
    end
    return x, maxiter
end

"""
    newton(f, J, x0; tol = 1e-12, maxiter = 50)

Newton's method with halving of the step as long as the residual does not fall.
"""
function newton(f, J, x0; tol = 1e-12, maxiter = 50)
    x = float.(copy(x0))
    for k in 1:maxiter
        residual = f(x)
        size = norm(residual)
        size <= tol && return x, k - 1
        step = J(x) \ residual
        t = 1.0
        while norm(f(x .- t .* step)) >= size && t > 1e-8
            t /= 2
        end
        x .-= t .* step
    end
    error("no convergence after $maxiter iterations")
end

"""The second difference matrix of order `n`, with spacing `h = 1 / (n + 1)`."""
function laplacian_1d(n)
    h = 1 / (n + 1)
    return SymTridiagonal(fill(2.0, n), fill(-1.0, n - 1)) / h^2
end

"""Eigenvalues of `laplacian_1d(n)` in closed form: 4 sin^2(k pi h / 2) / h^2."""
function laplacian_eigenvalues(n)
    h = 1 / (n + 1)
    return [4 * sin(k * pi * h / 2)^2 / h^2 for k in 1:n]
end

"""Solve -u'' = lambda exp(u), u(0) = u(1) = 0 (the Bratu problem) on `n` interior points."""
function bratu(n, lambda)
    A = laplacian_1d(n)
    f(u) = A * u .- lambda .* exp.(u)
    J(u) = Matrix(A) - Diagonal(lambda .* exp.(u))
    return newton(f, J, zeros(n); tol = 1e-9)
end

function run_tests()
    @testset "conjugate gradients" begin
        n = 40
        A = laplacian_1d(n)
        exact = [sin(pi * i / (n + 1)) for i in 1:n]
        x, iterations = conjugate_gradient(A, A * exact)
        @test norm(x - exact) < 1e-8
        @test iterations <= 2n
        @test_throws DomainError conjugate_gradient(-A, exact)
    end
    @testset "eigenvalues" begin
        @test laplacian_eigenvalues(12) ≈ eigvals(laplacian_1d(12))
    end
    @testset "newton" begin
        root, _ = newton(x -> [x[1]^2 - 2], x -> fill(2x[1], 1, 1), [1.0])
        @test root[1] ≈ sqrt(2)
        u, _ = bratu(31, 1.0)
        @test 0.13 < maximum(u) < 0.15
        @test u ≈ reverse(u)
    end
end

end # module
