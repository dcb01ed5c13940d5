"""Whether two typed values are the same answer under a policy."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

from eval_tasks.answers import limits, units
from eval_tasks.answers.build import digits_of, make_product, make_quotient, scalar
from eval_tasks.answers.definitions import defined_value, letters_as_unit
from eval_tasks.answers.expressions import difference, same_expression, same_up_to_factor
from eval_tasks.answers.limits import Budget, TooLargeError
from eval_tasks.answers.plus_minus import has_signs, num_values, signs_written_out
from eval_tasks.answers.policies import Policy
from eval_tasks.answers.realsets import NotRealError, real_set, same_real_set
from eval_tasks.answers.values import (
    EXPRESSIONS,
    NUMBERS,
    BaseNumeral,
    Constant,
    Decimal,
    ListOf,
    Matrix,
    Quantity,
    Ratio,
    Relation,
    Residue,
    SetBuilder,
    SetOf,
    SetOperation,
    Symbol,
    Text,
    TupleOf,
    Value,
    contains,
    symbols,
)
from eval_tasks.answers.wording import is_spelled

_CONTAINERS = (TupleOf, ListOf, SetOf, Matrix, SetOperation, SetBuilder)
_INEQUALITIES = frozenset(("<", ">", "<=", ">=", "!="))
_EQUALITIES = frozenset(("=", "~"))
_REVERSIBLE = _INEQUALITIES | _EQUALITIES | {"=="}
_ANGLES = {(("angle", 1),), (("radian", 1),)}


class Comparison:
    """One comparison: the policy, the steps left, and how the last decision was made."""

    def __init__(self, policy: Policy, budget: Budget | None = None) -> None:
        self.policy = policy
        self.budget = budget or Budget()
        self.reason = ""

    def same(self, gold: Value, prediction: Value, within: bool = False) -> bool:
        """Whether the two are the same; `within` a list or tuple, names that differ make a difference."""
        if isinstance(gold, NUMBERS) and isinstance(prediction, NUMBERS):
            return self._expressions(gold, prediction)
        kinds = type(gold), type(prediction)
        if Text in kinds:
            return self._say(self._texts(gold, prediction), "words")
        if has_signs(gold) or has_signs(prediction):
            one, other = signs_written_out(gold), signs_written_out(prediction)
            return self._say(
                num_values(one) == num_values(other) and self.same(one, other, within), "plus-minus written out"
            )
        if Relation in kinds:
            return self._relations(gold, prediction, within)
        if Quantity in kinds:
            return self._quantities(gold, prediction)
        if isinstance(gold, EXPRESSIONS) and isinstance(prediction, EXPRESSIONS):
            return self._expressions(gold, prediction)
        if BaseNumeral in kinds:
            return self._say(self._numerals(gold, prediction), "digits and base")
        if Ratio in kinds:
            return self._ratios(gold, prediction)
        if Residue in kinds:
            return self._residues(gold, prediction)
        return self._containers(gold, prediction)

    def _say(self, verdict: bool, reason: str) -> bool:
        self.reason = self.reason or reason
        return verdict

    def _expressions(self, gold: Value, prediction: Value) -> bool:
        verdict, self.reason = same_expression(gold, prediction, self.policy, self.budget)
        return verdict

    # --- words ---
    def _texts(self, gold: Value, prediction: Value) -> bool:
        one, other = self._words(gold), self._words(prediction)
        if one is None or other is None:
            return False
        return one == other or (len(one) > 1 and not self.policy.list_ordered and sorted(one) == sorted(other))

    def _words(self, value: Value) -> tuple[str, ...] | None:
        """The words of a text, or of letters that a text may spell; None for anything else."""
        kind = type(value)
        if kind is Text:
            plain = value.words.replace(" and ", ",").replace("&", ",")
            parts = [part.strip(" ().") for part in plain.split(",")]
            return tuple(part for part in parts if part)
        if kind is Symbol or kind is Constant:
            return (str(value.name).lower(),)
        if is_spelled(value):
            return ("".join(factor.name for factor in value.factors).lower(),)
        if kind in (ListOf, SetOf, TupleOf):
            parts = [self._words(item) for item in value.items]
            return None if None in parts else tuple(word for part in parts for word in part or ())
        if type(value) is int:
            return (digits_of(value),)
        if kind is Ratio and value.clock:
            return (":".join((str(value.items[0]), *(f"{item:02d}" for item in value.items[1:]))),)
        if kind is Quantity and type(value.amount) is int and value.unit.lower() in ("am", "pm"):
            return (f"{value.amount}:00 {value.unit.lower()}",)
        if kind is Quantity and is_spelled(value.amount):  # mn \text{ ways} and, in plain text, mn ways
            return (" ".join((*(self._words(value.amount) or ()), value.unit.lower())),)
        return None

    # --- units ---
    def _quantities(self, gold: Value, prediction: Value) -> bool:
        if type(gold) is Quantity and type(prediction) is Quantity:
            return self._two_quantities(gold, prediction)
        quantity, plain = (gold, prediction) if type(gold) is Quantity else (prediction, gold)
        if type(plain) in _CONTAINERS:
            if type(plain) in (SetOf, ListOf, TupleOf) and len(plain.items) == 1:
                return self.same(quantity, plain.items[0])
            return self._say(False, "a quantity and a collection")
        if type(plain) in (Ratio, BaseNumeral, Residue) or not isinstance(plain, EXPRESSIONS):
            return self._say(False, "a quantity and something else")
        written = letters_as_unit(plain)
        if written is not None and units.unit_of(quantity.unit) is not None:
            return self._two_quantities(*((quantity, written) if quantity is gold else (written, quantity)))
        if quantity.unit == "%":
            if self.policy.percent_as_decimal and self._expressions(make_quotient(quantity.amount, 100), plain):
                return True
            return self.policy.percent_dropped and self._expressions(quantity.amount, plain)
        if quantity.unit == "deg" and self.policy.degrees_as_radians:
            turned = make_product([quantity.amount, Constant("pi"), Fraction(1, 180)])
            if contains(plain, Constant) and self._expressions(turned, plain):
                return True
        return self._say(self.policy.unit_dropped, "a unit on one side only") and self._expressions(
            quantity.amount, plain
        )

    def _two_quantities(self, gold: Quantity, prediction: Quantity) -> bool:
        if gold.unit == prediction.unit:
            return self._expressions(gold.amount, prediction.amount)
        if {gold.unit.lower(), prediction.unit.lower()} == {"am", "pm"}:
            return self._say(False, "morning and afternoon")
        if "th" in (gold.unit, prediction.unit):
            return self._say(False, "an ordinal and a quantity")
        one, other = units.unit_of(gold.unit), units.unit_of(prediction.unit)
        if one is None or other is None:
            if "%" in (gold.unit, prediction.unit):
                return self._say(False, "a percentage and a quantity")
            return self._say(self.policy.unit_dropped, "different words for the unit") and self._expressions(
                gold.amount, prediction.amount
            )
        if {one[0], other[0]} == _ANGLES and self.policy.degrees_as_radians:
            return self._expressions(scalar(_in_degrees(gold)), scalar(_in_degrees(prediction)))
        if one[0] != other[0] or (one[1] != other[1] and not self.policy.units_converted):
            return self._say(False, "different units")
        return self._expressions(_scaled(gold.amount, one[1]), _scaled(prediction.amount, other[1]))

    # --- numerals, ratios, residues ---
    def _numerals(self, gold: Value, prediction: Value) -> bool:
        if type(gold) is BaseNumeral and type(prediction) is BaseNumeral:
            return bool(gold.value == prediction.value)
        numeral, plain = (gold, prediction) if type(gold) is BaseNumeral else (prediction, gold)
        if not isinstance(plain, NUMBERS):
            return False
        return self.policy.base_dropped and (plain == numeral.value or digits_of(plain) == numeral.digits)

    def _ratios(self, gold: Value, prediction: Value) -> bool:
        if type(gold) is Ratio and type(prediction) is Ratio:
            if len(gold.items) != len(prediction.items):
                return self._say(False, "ratios of different lengths")
            if self._in_order(gold.items, prediction.items):
                return True
            if not self.policy.unreduced or (
                gold.clock and prediction.clock and _is_time(gold) and _is_time(prediction)
            ):
                return False
            one, other = gold.items, prediction.items
            if not any(one) or not any(other):
                return self._say(False, "a ratio of zeros")
            return all(
                self.same(make_product([a, d]), make_product([b, c]))
                for (a, c), (b, d) in combinations(zip(one, other, strict=True), 2)
            )
        ratio, plain = (gold, prediction) if type(gold) is Ratio else (prediction, gold)
        if len(ratio.items) != 2 or not self.policy.ratio_as_quotient or not isinstance(plain, EXPRESSIONS):
            return self._say(False, "a ratio and something else")
        return self._expressions(make_quotient(ratio.items[0], ratio.items[1]), plain)

    def _residues(self, gold: Value, prediction: Value) -> bool:
        if type(gold) is Residue and type(prediction) is Residue:
            if not self.same(gold.modulus, prediction.modulus):
                return False
            numbers = gold.amount, prediction.amount, gold.modulus
            if all(type(number) is int for number in numbers) and gold.modulus:
                return self._say((gold.amount - prediction.amount) % gold.modulus == 0, "residues")
            return self.same(gold.amount, prediction.amount)
        residue, plain = (gold, prediction) if type(gold) is Residue else (prediction, gold)
        return isinstance(plain, EXPRESSIONS) and self.same(residue.amount, plain)

    # --- relations ---
    def _relations(self, gold: Value, prediction: Value, within: bool) -> bool:
        if type(gold) is Relation and type(prediction) is Relation:
            return self._two_relations(gold, prediction, within)
        relation, other = (gold, prediction) if type(gold) is Relation else (prediction, gold)
        meant = defined_value(relation)
        if meant is not None and self.policy.name_dropped:
            return self.same(meant, other, within)
        if _INEQUALITIES & set(relation.operators) and self.policy.interval_as_inequality:
            return self._real_sets(relation, other)
        if len(relation.operators) == 1 and relation.operators[0] == "=" and _is_identity(relation, self):
            return self.same(relation.sides[-1], other, within)
        if type(other) in (SetOf, ListOf) and len(other.items) == 1:
            return self.same(relation, other.items[0], within)
        return self._say(False, "a relation and something else")

    def _two_relations(self, gold: Relation, prediction: Relation, within: bool) -> bool:
        one, other = defined_value(gold), defined_value(prediction)
        if one is not None and other is not None:
            if gold.name == prediction.name or (self.policy.name_changed and not within):
                if self.same(one, other, within):
                    return True
            elif within and not self._comparable(gold, prediction):
                return self._say(False, "different names")
        if self._comparable(gold, prediction):
            return self._single(gold, prediction)
        if _INEQUALITIES & {*gold.operators, *prediction.operators}:
            if self._real_sets(gold, prediction):
                return True
            return self._chains(gold, prediction)
        for meant, identity in ((one, prediction), (other, gold)):
            if meant is not None and not within and _is_identity(identity, self):
                return self.same(meant, identity.sides[-1])
        return self._chains(gold, prediction)

    def _comparable(self, gold: Relation, prediction: Relation) -> bool:
        sides = (*gold.sides, *prediction.sides)
        return (
            len(gold.operators) == 1
            and len(prediction.operators) == 1
            and "in" not in (gold.operators[0], prediction.operators[0])
            and all(isinstance(side, EXPRESSIONS) for side in sides)
        )

    def _single(self, gold: Relation, prediction: Relation) -> bool:
        """Two relations of one sign each, with expressions on both sides."""
        (one,), (other,) = gold.operators, prediction.operators
        if one in _INEQUALITIES and other in _INEQUALITIES and (one == "!=") != (other == "!="):
            return self._real_sets(gold, prediction)  # x^2 > 0, x != 0
        if (one in _EQUALITIES) != (other in _EQUALITIES):
            return self._say(False, "different relations")
        left, right = difference(*gold.sides), difference(*prediction.sides)
        if one in _EQUALITIES or one == "!=":
            return self._say(self._is_proportional(left, right), "equations up to a factor")
        if one not in _INEQUALITIES or other not in _INEQUALITIES:
            return self._chains(gold, prediction)
        if len(one) != len(other):
            return self._say(False, "a strict and a weak inequality")
        sign = same_up_to_factor(left, right, self.budget, is_equation=False)
        if sign is None:
            return self._real_sets(gold, prediction)
        return self._say((sign > 0) == (one[0] == other[0]), "inequalities up to a factor")

    def _is_proportional(self, left: Value, right: Value) -> bool:
        return same_up_to_factor(left, right, self.budget, is_equation=True) is not None

    def _chains(self, gold: Relation, prediction: Relation) -> bool:
        """Sides and signs one by one, in either direction."""
        if len(gold.sides) != len(prediction.sides):
            return self._say(False, "relations of different lengths")
        if gold.operators == prediction.operators and self._in_order(gold.sides, prediction.sides):
            return True
        if not {*gold.operators} <= _REVERSIBLE:
            return False
        flipped = tuple({"<": ">", ">": "<", "<=": ">=", ">=": "<="}.get(sign, sign) for sign in prediction.operators)
        return gold.operators == flipped[::-1] and self._in_order(gold.sides, prediction.sides[::-1])

    def _real_sets(self, gold: Value, prediction: Value) -> bool:
        try:
            one, other = real_set(gold, self.budget), real_set(prediction, self.budget)
        except NotRealError as reason:
            return self._say(False, str(reason))
        return self._say(same_real_set(one, other, self.budget), "sets of real numbers")

    # --- collections ---
    def _containers(self, gold: Value, prediction: Value) -> bool:
        kinds = type(gold), type(prediction)
        if self._speaks_of_reals(gold) or self._speaks_of_reals(prediction):
            alike = kinds == (ListOf, ListOf) and (gold.joiner == "or") == (prediction.joiner == "or")
            if alike and self._unordered(gold.items, prediction.items, same_order=False):
                return True
            if _is_interval_list(gold) or _is_interval_list(prediction):
                return self._say(False, "a list of intervals and something else")
            if self._real_sets(gold, prediction):
                return True
            return self._structures(gold, prediction)
        for one, other in ((gold, prediction), (prediction, gold)):
            if type(one) in (SetOf, ListOf) and len(one.items) == 1 and not isinstance(other, _CONTAINERS):
                return self.same(one.items[0], other)
        if type(gold) not in _CONTAINERS or type(prediction) not in _CONTAINERS:
            return self._say(False, "a collection and a single value")
        if Matrix in kinds:
            return self._matrices(gold, prediction)
        if kinds == (TupleOf, TupleOf):
            return self._tuples(gold, prediction)
        if TupleOf in kinds:
            other = prediction if type(gold) is TupleOf else gold
            is_list = type(other) is ListOf or (type(other) is SetOf and other.plain)
            brackets = next(t.opening + t.closing for t in (gold, prediction) if type(t) is TupleOf)
            if not is_list or not self.policy.list_as_tuple or brackets in ("[)", "(]"):
                return self._say(False, "a tuple and a set")
            return self._in_order(_by_name(gold.items), _by_name(prediction.items))
        if kinds == (ListOf, ListOf) and {gold.joiner, prediction.joiner} == {"and", "or"} and _are_names(gold):
            return self._say(False, "and, or")
        if kinds != (ListOf, ListOf) and kinds != (SetOf, SetOf) and not self.policy.list_as_set:
            return self._say(False, "a list and a set")
        ordered = self.policy.list_ordered and kinds == (ListOf, ListOf)
        are_tuples = all(type(item) is TupleOf for item in (*gold.items, *prediction.items))
        if SetOf in kinds or (are_tuples and not ordered):  # a solution written twice is one solution
            return self._sets(gold.items, prediction.items)
        return self._unordered(gold.items, prediction.items, same_order=ordered)

    def _speaks_of_reals(self, value: Value) -> bool:
        kind = type(value)
        if kind in (SetOperation, SetBuilder) or (kind is Symbol and value.name == "mathbbR"):
            return True
        return kind is ListOf and any(
            type(item) is Relation and _INEQUALITIES & set(item.operators) for item in value.items
        )

    def _structures(self, gold: Value, prediction: Value) -> bool:
        """Set operations on what we cannot build, part by part."""
        if type(gold) is SetOperation and type(prediction) is SetOperation:
            if gold.operator != prediction.operator:
                return False
            if self.same(gold.left, prediction.left) and self.same(gold.right, prediction.right):
                return True
            commutes = gold.operator != "setminus"
            return commutes and self.same(gold.left, prediction.right) and self.same(gold.right, prediction.left)
        if type(gold) is SetBuilder and type(prediction) is SetBuilder:
            return self.same(gold.element, prediction.element) and self.same(gold.condition, prediction.condition)
        return False

    def _tuples(self, gold: Value, prediction: Value) -> bool:
        if len(gold.items) != len(prediction.items):
            return self._say(False, "tuples of different lengths")
        if len(gold.items) == 2:
            brackets = {
                (t.opening.replace("<", "("), t.closing.replace(">", ")")) for t in (gold, prediction)
            }  # <1, 2> is the vector (1, 2)
            if len(brackets) > 1:
                return self._say(False, "different brackets")
        return self._in_order(gold.items, prediction.items)

    def _matrices(self, gold: Value, prediction: Value) -> bool:
        one, other = _rows(gold), _rows(prediction)
        if one is None or other is None:
            return self._say(False, "a matrix and something else")
        if type(gold) is not type(prediction):
            if not self.policy.tuple_as_vector:
                return self._say(False, "a matrix and a tuple")
            # a tuple stands for a row or a column alike
            one, other = (tuple((entry,) for entry in rows[0]) if len(rows) == 1 else rows for rows in (one, other))
        if len(one) != len(other) or len(one[0]) != len(other[0]):
            return self._say(False, "matrices of different shapes")
        return all(self._in_order(a, b) for a, b in zip(one, other, strict=True))

    def _in_order(self, gold: tuple[Value, ...], prediction: tuple[Value, ...]) -> bool:
        if len(gold) != len(prediction):
            return self._say(False, "different numbers of items")
        verdict = all(self.same(a, b, within=True) for a, b in zip(gold, prediction, strict=True))
        self.reason = "items in order"
        return verdict

    def _sets(self, gold: tuple[Value, ...], prediction: tuple[Value, ...]) -> bool:
        _check_length(gold, prediction)
        verdict = all(any(self.same(a, b, within=True) for b in prediction) for a in gold) and all(
            any(self.same(a, b, within=True) for a in gold) for b in prediction
        )
        self.reason = "members"
        return verdict

    def _unordered(self, gold: tuple[Value, ...], prediction: tuple[Value, ...], same_order: bool) -> bool:
        if same_order or len(gold) != len(prediction):
            return self._in_order(gold, prediction)
        if all(isinstance(item, NUMBERS) and type(item) is not Decimal for item in (*gold, *prediction)):
            return self._say(sorted(gold) == sorted(prediction), "items in any order")
        _check_length(gold, prediction)
        left = list(prediction)
        for item in gold:
            for place, other in enumerate(left):
                if self.same(item, other, within=True):
                    del left[place]
                    break
            else:
                self.reason = "items in any order"
                return False
        self.reason = "items in any order"
        return True


def _by_name(items: tuple[Value, ...]) -> tuple[Value, ...]:
    """y = 2, x = 1 in the order in which a tuple would name them; other items as they stand."""
    if all(type(item) is Relation and item.name is not None and len(item.name) == 1 for item in items):
        return tuple(sorted(items, key=lambda item: str(item.name)))
    return items


def _are_names(value: ListOf) -> bool:
    return all(type(item) is Symbol for item in value.items)


def _check_length(gold: tuple[Value, ...], prediction: tuple[Value, ...]) -> None:
    if max(len(gold), len(prediction)) > limits.MAX_LIST_TO_MATCH:
        raise TooLargeError("a list too long to match in any order")


def _scaled(amount: Value, factor: Fraction) -> Value:
    return amount if factor == 1 else make_product([amount, factor])


def _in_degrees(angle: Quantity) -> Value:
    """The angle under one name for its unit; of one in radians the number alone."""
    return Quantity(angle.amount, "deg") if units.canonical_word(angle.unit) == "deg" else angle.amount


def _is_time(ratio: Ratio) -> bool:
    return len(ratio.items) > 1 and ratio.items[1] >= 10


def _is_identity(relation: Relation, comparison: Comparison) -> bool:
    """Whether it is an equation between constants that holds, as in 2 + 3 = 5."""
    sides = relation.sides
    if set(relation.operators) != {"="} or not all(isinstance(side, EXPRESSIONS) for side in sides):
        return False
    if any(symbols(side) for side in sides):
        return False
    return all(comparison.same(sides[0], side) for side in sides[1:])


def _is_interval_list(value: Value) -> bool:
    return type(value) is ListOf and all(type(item) is TupleOf for item in value.items)


def _rows(value: Value) -> tuple[tuple[Value, ...], ...] | None:
    if type(value) is Matrix:
        return value.rows
    if type(value) is not TupleOf:
        return None
    if all(type(item) is TupleOf for item in value.items):
        return tuple(item.items for item in value.items)
    return (value.items,)
