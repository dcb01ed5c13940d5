function report = heat_equation(num_points, num_steps)
% HEAT_EQUATION  Solve u_t = u_xx on (0,1) with zero ends and compare three schemes.
%
%   report = heat_equation(n, m) uses n interior points and m time steps up to T = 0.1.
%   The initial value is sin(pi*x), for which the solution is exp(-pi^2*t)*sin(pi*x).

    if nargin < 1, num_points = 49; end
    if nargin < 2, num_steps = 400; end

    T = 0.1;
    h = 1 / (num_points + 1);
    k = T / num_steps;
    x = (1:num_points)' * h;
    A = second_difference(num_points, h);
    u0 = sin(pi * x);
    exact = exp(-pi^2 * T) * u0;

    report.ratio = k / h^2;             % forward Euler is stable up to 1/2
    report.forward = error_of(forward_euler(A, u0, k, num_steps), exact);
    report.backward = error_of(theta_scheme(A, u0, k, num_steps, 1.0), exact);
    report.crank_nicolson = error_of(theta_scheme(A, u0, k, num_steps, 0.5), exact);
    report.eigenvalue_error = check_eigenvalues(A, num_points, h);
end

function A = second_difference(n, h)
% Tridiagonal matrix of the second derivative with Dirichlet conditions.
    e = ones(n, 1);
    A = spdiags([e, -2*e, e], -1:1, n, n) / h^2;
end

function u = forward_euler(A, u, k, steps)
    for j = 1:steps
        u = u + k * (A * u);
    end
end

function u = theta_scheme(A, u, k, steps, theta)
% theta = 1 is backward Euler (first order), theta = 1/2 is Crank-Nicolson (second order).
    n = size(A, 1);
    I = speye(n);
    left = I - theta * k * A;
    right = I + (1 - theta) * k * A;
    [L, U, P, Q] = lu(left);
    for j = 1:steps
        u = Q * (U \ (L \ (P * (right * u))));
    end
end

function e = error_of(u, exact)
    e = norm(u - exact, Inf) / norm(exact, Inf);
end

function worst = check_eigenvalues(A, n, h)
% The eigenvalues are -4/h^2 * sin(j*pi*h/2)^2 for j = 1..n.
    j = (1:n)';
    formula = -4 / h^2 * sin(j * pi * h / 2).^2;
    computed = sort(eig(full(A)), 'descend');
    worst = max(abs(computed - formula)) / max(abs(formula));
end
