# Small experiments with permutation groups.

# The conjugacy classes of the symmetric group of degree n correspond to the partitions of n.
ClassesMatchPartitions := function(n)
  local G;
  G := SymmetricGroup(n);
  return Length(ConjugacyClasses(G)) = NrPartitions(n);
end;

# Burnside's lemma: the number of orbits is the mean number of fixed points.
OrbitsByBurnside := function(G, points)
  local total, g;
  total := 0;
  for g in G do
    total := total + Number(points, p -> p^g = p);
  od;
  return total / Size(G);
end;

# Colourings of the vertices of a regular n-gon with k colours, up to rotation and reflection.
Necklaces := function(n, k)
  local D, total, g, cycles;
  D := DihedralGroup(IsPermGroup, 2 * n);
  total := 0;
  for g in D do
    # A colouring is fixed exactly if it is constant on the cycles of g.
    cycles := Length(Orbits(Group(g), [1 .. n]));
    total := total + k^cycles;
  od;
  return total / Size(D);
end;

# A group is simple if the normal closure of each non-trivial element is everything.
IsSimpleByClosures := function(G)
  local c, g;
  for c in ConjugacyClasses(G) do
    g := Representative(c);
    if not IsOne(g) and Size(NormalClosure(G, Subgroup(G, [g]))) < Size(G) then
      return false;
    fi;
  od;
  return true;
end;

# Sylow's theorems for one prime: the number of Sylow p-subgroups is 1 modulo p and divides the index.
CheckSylow := function(G, p)
  local S, count;
  S := SylowSubgroup(G, p);
  count := Index(G, Normalizer(G, S));
  return count mod p = 1 and (Size(G) / Size(S)) mod count = 0;
end;

# The commutator subgroups of the symmetric groups are the alternating groups.
for n in [2 .. 7] do
  if DerivedSubgroup(SymmetricGroup(n)) <> AlternatingGroup(n) then
    Error("unexpected commutator subgroup in degree ", n);
  fi;
  if not ClassesMatchPartitions(n) then
    Error("wrong number of classes in degree ", n);
  fi;
od;

for p in [2, 3, 5] do
  if not CheckSylow(AlternatingGroup(5), p) then
    Error("Sylow's theorem fails for ", p);
  fi;
od;

Print("necklaces with 6 beads of 2 colours: ", Necklaces(6, 2), "\n");
Print("A5 is simple: ", IsSimpleByClosures(AlternatingGroup(5)), "\n");
Print("S4 is simple: ", IsSimpleByClosures(SymmetricGroup(4)), "\n");
Print("orbits of <(1,2)(3,4)> on five points: ",
      OrbitsByBurnside(Group((1,2)(3,4)), [1 .. 5]), "\n");
