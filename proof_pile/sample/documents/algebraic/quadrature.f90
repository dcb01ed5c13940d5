! Gauss-Legendre and adaptive Simpson quadrature.
module quadrature
  implicit none
  private
  integer, parameter, public :: dp = selected_real_kind(15, 307)
  real(dp), parameter :: pi = 3.14159265358979323846_dp
  public :: gauss_legendre, integrate_gauss, integrate_simpson

  abstract interface
    pure function integrand(x) result(y)
      import :: dp
      real(dp), intent(in) :: x
      real(dp) :: y
    end function integrand
  end interface

contains

  ! Value and derivative of the Legendre polynomial of degree n at x, by the three-term recurrence
  ! k P_k = (2k - 1) x P_{k-1} - (k - 1) P_{k-2}.
  pure subroutine legendre(n, x, value, slope)
    integer, intent(in) :: n
    real(dp), intent(in) :: x
    real(dp), intent(out) :: value, slope
    real(dp) :: previous, before
    integer :: k
    value = 1.0_dp
    previous = 0.0_dp
    do k = 1, n
      before = previous
      previous = value
      value = (real(2*k - 1, dp)*x*previous - real(k - 1, dp)*before)/real(k, dp)
    end do
    slope = real(n, dp)*(x*value - previous)/(x*x - 1.0_dp)
  end subroutine legendre

  ! Nodes and weights on [-1, 1].  The nodes are zeros of P_n, found by Newton's method from
  ! Tricomi's approximation; the rule is exact for polynomials of degree 2n - 1.
  pure subroutine gauss_legendre(n, nodes, weights)
    integer, intent(in) :: n
    real(dp), intent(out) :: nodes(n), weights(n)
    real(dp) :: x, step, value, slope
    integer :: i, iteration
    do i = 1, (n + 1)/2
      x = cos(pi*(real(i, dp) - 0.25_dp)/(real(n, dp) + 0.5_dp))
      do iteration = 1, 100
        call legendre(n, x, value, slope)
        step = value/slope
        x = x - step
        if (abs(step) < 4.0_dp*epsilon(x)) exit
      end do
      call legendre(n, x, value, slope)
      nodes(i) = -x
      nodes(n + 1 - i) = x
      weights(i) = 2.0_dp/((1.0_dp - x*x)*slope*slope)
      weights(n + 1 - i) = weights(i)
    end do
    if (mod(n, 2) == 1) nodes((n + 1)/2) = 0.0_dp
  end subroutine gauss_legendre

  function integrate_gauss(f, a, b, n) result(total)
    procedure(integrand) :: f
    real(dp), intent(in) :: a, b
    integer, intent(in) :: n
    real(dp) :: total, nodes(n), weights(n), half, middle
    integer :: i
    call gauss_legendre(n, nodes, weights)
    half = 0.5_dp*(b - a)
    middle = 0.5_dp*(a + b)
    total = 0.0_dp
    do i = 1, n
      total = total + weights(i)*f(middle + half*nodes(i))
    end do
    total = half*total
  end function integrate_gauss

  recursive function integrate_simpson(f, a, b, tolerance, depth) result(total)
    procedure(integrand) :: f
    real(dp), intent(in) :: a, b, tolerance
    integer, intent(in) :: depth
    real(dp) :: total, middle, whole, left, right
    middle = 0.5_dp*(a + b)
    whole = simpson(f, a, b)
    left = simpson(f, a, middle)
    right = simpson(f, middle, b)
    if (depth <= 0 .or. abs(left + right - whole) < 15.0_dp*tolerance) then
      total = left + right + (left + right - whole)/15.0_dp
    else
      total = integrate_simpson(f, a, middle, 0.5_dp*tolerance, depth - 1) &
            + integrate_simpson(f, middle, b, 0.5_dp*tolerance, depth - 1)
    end if
  end function integrate_simpson

  function simpson(f, a, b) result(total)
    procedure(integrand) :: f
    real(dp), intent(in) :: a, b
    real(dp) :: total
    total = (b - a)/6.0_dp*(f(a) + 4.0_dp*f(0.5_dp*(a + b)) + f(b))
  end function simpson

end module quadrature

program demonstrate
  use quadrature
  implicit none
  integer :: n
  do n = 2, 8, 2
    print '(a, i2, a, es12.4)', 'n = ', n, '   error ', integrate_gauss(bell, 0.0_dp, 1.0_dp, n) - 0.746824132812427_dp
  end do
  print '(a, f18.14)', 'adaptive Simpson: ', integrate_simpson(bell, 0.0_dp, 1.0_dp, 1.0e-12_dp, 30)
contains
  pure function bell(x) result(y)
    real(dp), intent(in) :: x
    real(dp) :: y
    y = exp(-x*x)
  end function bell
end program demonstrate
