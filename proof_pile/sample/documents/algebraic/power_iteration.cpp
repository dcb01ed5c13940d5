// Extreme eigenvalues of a sparse symmetric matrix: power iteration and the Lanczos process.

#include <Eigen/Dense>
#include <Eigen/Sparse>

#include <cmath>
#include <iostream>
#include <random>
#include <stdexcept>
#include <vector>

using Matrix = Eigen::SparseMatrix<double>;
using Vector = Eigen::VectorXd;

struct EigenPair {
    double value;
    Vector vector;
    int iterations;
};

Vector random_unit_vector(Eigen::Index size, unsigned seed) {
    std::mt19937 engine(seed);
    std::normal_distribution<double> normal;
    Vector v(size);
    for (Eigen::Index i = 0; i < size; ++i) {
        v[i] = normal(engine);
    }
    return v.normalized();
}

// The Rayleigh quotient converges with the square of the ratio of the two largest eigenvalues.
EigenPair power_iteration(const Matrix& a, double tolerance, int max_iterations) {
    Vector v = random_unit_vector(a.rows(), 1);
    double value = 0.0;
    for (int k = 1; k <= max_iterations; ++k) {
        Vector w = a * v;
        const double next = v.dot(w);
        const double residual = (w - next * v).norm();
        v = w.normalized();
        if (residual <= tolerance * std::abs(next)) {
            return {next, v, k};
        }
        value = next;
    }
    throw std::runtime_error("power iteration did not converge; last value " + std::to_string(value));
}

// Lanczos: an orthonormal basis of the Krylov space in which the matrix is tridiagonal.  Full
// reorthogonalisation keeps the basis orthogonal in floating point.
Vector lanczos_values(const Matrix& a, int steps) {
    const Eigen::Index n = a.rows();
    std::vector<Vector> basis{random_unit_vector(n, 2)};
    std::vector<double> alpha, beta;
    for (int j = 0; j < steps; ++j) {
        Vector w = a * basis[j];
        alpha.push_back(basis[j].dot(w));
        for (int pass = 0; pass < 2; ++pass) {
            for (const Vector& q : basis) {
                w -= q.dot(w) * q;
            }
        }
        const double size = w.norm();
        if (size < 1e-12 || j + 1 == steps) {
            break;
        }
        beta.push_back(size);
        basis.push_back(w / size);
    }
    const auto m = static_cast<Eigen::Index>(alpha.size());
    Eigen::MatrixXd t = Eigen::MatrixXd::Zero(m, m);
    for (Eigen::Index i = 0; i < m; ++i) {
        t(i, i) = alpha[i];
        if (i + 1 < m) {
            t(i, i + 1) = t(i + 1, i) = beta[i];
        }
    }
    return Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>(t).eigenvalues();
}

Matrix path_laplacian(int n) {
    std::vector<Eigen::Triplet<double>> entries;
    for (int i = 0; i < n; ++i) {
        entries.emplace_back(i, i, 2.0);
        if (i + 1 < n) {
            entries.emplace_back(i, i + 1, -1.0);
            entries.emplace_back(i + 1, i, -1.0);
        }
    }
    Matrix a(n, n);
    a.setFromTriplets(entries.begin(), entries.end());
    return a;
}

int main() {
    const int n = 60;
    const Matrix a = path_laplacian(n);
    const double exact = 2.0 - 2.0 * std::cos(M_PI * n / (n + 1));
    const EigenPair top = power_iteration(a, 1e-8, 200000);
    const Vector ritz = lanczos_values(a, 40);
    std::cout << "exact    " << exact << "\npower    " << top.value << " after " << top.iterations
              << " iterations\nLanczos  " << ritz[ritz.size() - 1] << "\n";
    return std::abs(top.value - exact) < 1e-6 ? 0 : 1;
}
