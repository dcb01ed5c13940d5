# Fitting a generalised linear model by iteratively reweighted least squares, and checking it by simulation.

# One step solves the weighted normal equations (X' W X) beta = X' W z with the working response z.
fit_glm <- function(X, y, family = c("poisson", "binomial", "gamma"), tol = 1e-10, max_iter = 100) {
  family <- match.arg(family)
  link <- switch(family,
    poisson  = list(g = log, inv = exp, dmu = function(mu) 1 / mu, var = function(mu) mu),
    binomial = list(
      g = function(mu) log(mu / (1 - mu)),
      inv = function(eta) 1 / (1 + exp(-eta)),
      dmu = function(mu) 1 / (mu * (1 - mu)),
      var = function(mu) mu * (1 - mu)
    ),
    gamma    = list(g = log, inv = exp, dmu = function(mu) 1 / mu, var = function(mu) mu^2)
  )
  mu <- switch(family, binomial = (y + 0.5) / 2, pmax(y, 0.1))
  eta <- link$g(mu)
  beta <- rep(0, ncol(X))
  for (iteration in seq_len(max_iter)) {
    z <- eta + (y - mu) * link$dmu(mu)
    w <- 1 / (link$dmu(mu)^2 * link$var(mu))
    next_beta <- solve(crossprod(X, w * X), crossprod(X, w * z))
    eta <- as.vector(X %*% next_beta)
    mu <- link$inv(eta)
    if (max(abs(next_beta - beta)) < tol * (1 + max(abs(beta)))) {
      information <- crossprod(X, w * X)
      pearson <- sum((y - mu)^2 / link$var(mu)) / (length(y) - ncol(X))
      dispersion <- if (family == "gamma") pearson else 1
      return(list(
        coefficients = as.vector(next_beta),
        se = sqrt(dispersion * diag(solve(information))),
        fitted = mu,
        dispersion = dispersion,
        iterations = iteration
      ))
    }
    beta <- next_beta
  }
  stop("no convergence in ", max_iter, " iterations")
}

# Wald intervals, and the share of simulated data sets whose interval covers the true slope.
coverage <- function(n_sim = 500, n = 80, beta = c(0.4, 0.8), level = 0.95) {
  z <- qnorm(1 - (1 - level) / 2)
  x <- seq(-1, 1, length.out = n)
  X <- cbind(1, x)
  hits <- 0
  for (s in seq_len(n_sim)) {
    y <- rpois(n, exp(X %*% beta))
    fit <- fit_glm(X, y, "poisson")
    lower <- fit$coefficients[2] - z * fit$se[2]
    upper <- fit$coefficients[2] + z * fit$se[2]
    hits <- hits + (lower <= beta[2] && beta[2] <= upper)
  }
  hits / n_sim
}

# The deviance of a Poisson fit; terms with y = 0 contribute 2 * mu.
poisson_deviance <- function(y, mu) {
  2 * sum(ifelse(y > 0, y * log(y / mu), 0) - (y - mu))
}

# Likelihood ratio test of nested models.
compare <- function(X_small, X_large, y) {
  d0 <- poisson_deviance(y, fit_glm(X_small, y, "poisson")$fitted)
  d1 <- poisson_deviance(y, fit_glm(X_large, y, "poisson")$fitted)
  df <- ncol(X_large) - ncol(X_small)
  list(statistic = d0 - d1, df = df, p_value = pchisq(d0 - d1, df, lower.tail = FALSE))
}

if (sys.nframe() == 0) {
  set.seed(11)
  x <- runif(200)
  y <- rgamma(200, shape = 3, rate = 3 / exp(1 + 2 * x))
  print(fit_glm(cbind(1, x), y, "gamma")[c("coefficients", "se", "dispersion")])
  cat("coverage of nominal 95% intervals:", coverage(), "\n")
}
