# Continued fractions, convergents and Pell's equation.

# Partial quotients of a positive rational number.
quotients := proc(x::rational)
  local r, q, out;
  r := x; out := [];
  do
    q := floor(r);
    out := [op(out), q];
    if r = q then return out end if;
    r := 1/(r - q)
  end do
end proc:

# Convergents p[k]/q[k] by the recurrences p[k] = a[k] p[k-1] + p[k-2], and the same for q.
convergents := proc(a::list(integer))
  local p, q, k, out;
  p := [1, a[1]]; q := [0, 1]; out := [a[1]];
  for k from 2 to nops(a) do
    p := [p[2], a[k]*p[2] + p[1]];
    q := [q[2], a[k]*q[2] + q[1]];
    out := [op(out), p[2]/q[2]]
  end do;
  out
end proc:

# The period of sqrt(d) for d not a square, with exact integers only:
# m' = a n - m,  n' = (d - m'^2)/n,  a' = floor((a0 + m')/n').
sqrtPeriod := proc(d::posint)
  local a0, m, n, a, period;
  a0 := isqrt(d);
  if a0^2 > d then a0 := a0 - 1 end if;
  if a0^2 = d then error "%1 is a square", d end if;
  m := 0; n := 1; a := a0; period := [];
  do
    m := a*n - m;
    n := (d - m^2)/n;
    a := iquo(a0 + m, n);
    period := [op(period), a];
    if a = 2*a0 then return a0, period end if
  end do
end proc:

# The least positive solution of x^2 - d y^2 = 1.
pell := proc(d::posint)
  local a0, period, terms, c, x, y, n;
  a0, period := sqrtPeriod(d);
  n := nops(period);
  # for an odd period the first one leads to -1, the second to +1
  if n::odd then terms := [a0, op(period), op(period[1 .. n-1])]
  else terms := [a0, op(period[1 .. n-1])] end if;
  c := convergents(terms)[-1];
  x := numer(c); y := denom(c);
  if x^2 - d*y^2 <> 1 then error "internal fault for %1", d end if;
  x, y
end proc:

# Further solutions come from powers of x + y sqrt(d).
pellSolutions := proc(d::posint, count::posint)
  local x1, y1, x, y, k, out;
  x1, y1 := pell(d);
  x := x1; y := y1; out := [[x, y]];
  for k from 2 to count do
    x, y := x1*x + d*y1*y, x1*y + y1*x;
    out := [op(out), [x, y]]
  end do;
  out
end proc:

for d in [2, 3, 5, 7, 13, 61] do
  printf("x^2 - %d y^2 = 1 : %a\n", d, [pell(d)])
end do:
pellSolutions(2, 4);
quotients(415/93);
