"""What is known of each benchmark: its subsets, where its data lies, how a row is read, how answers are found.

To add one: an entry here, a folder under tasks/ with its YAML file and README, and its prompt (prompts.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from eval_tasks import rows
from eval_tasks.rows import Item
from llemma.core.benchmark_rows import MMLU_STEM

MATH_SUBSETS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)
MATH_LEVELS = {f"level_{number}": f"Level {number}" for number in range(1, 6)}

# The subjects of C-Eval (Huang et al. 2023, arXiv 2305.08322) and CMMLU (Li et al. 2023, arXiv 2306.09212).
CEVAL_SUBJECTS = (
    "accountant", "advanced_mathematics", "art_studies", "basic_medicine", "business_administration",
    "chinese_language_and_literature", "civil_servant", "clinical_medicine", "college_chemistry",
    "college_economics", "college_physics", "college_programming", "computer_architecture", "computer_network",
    "discrete_mathematics", "education_science", "electrical_engineer", "environmental_impact_assessment_engineer",
    "fire_engineer", "high_school_biology", "high_school_chemistry", "high_school_chinese", "high_school_geography",
    "high_school_history", "high_school_mathematics", "high_school_physics", "high_school_politics",
    "ideological_and_moral_cultivation", "law", "legal_professional", "logic", "mao_zedong_thought", "marxism",
    "metrology_engineer", "middle_school_biology", "middle_school_chemistry", "middle_school_geography",
    "middle_school_history", "middle_school_mathematics", "middle_school_physics", "middle_school_politics",
    "modern_chinese_history", "operating_system", "physician", "plant_protection", "probability_and_statistics",
    "professional_tour_guide", "sports_science", "tax_accountant", "teacher_qualification",
    "urban_and_rural_planner", "veterinary_medicine",
)  # fmt: skip
CMMLU_SUBJECTS = (
    "agronomy", "anatomy", "ancient_chinese", "arts", "astronomy", "business_ethics", "chinese_civil_service_exam",
    "chinese_driving_rule", "chinese_food_culture", "chinese_foreign_policy", "chinese_history",
    "chinese_literature", "chinese_teacher_qualification", "clinical_knowledge", "college_actuarial_science",
    "college_education", "college_engineering_hydrology", "college_law", "college_mathematics",
    "college_medical_statistics", "college_medicine", "computer_science", "computer_security", "conceptual_physics",
    "construction_project_management", "economics", "education", "electrical_engineering", "elementary_chinese",
    "elementary_commonsense", "elementary_information_and_technology", "elementary_mathematics", "ethnology",
    "food_science", "genetics", "global_facts", "high_school_biology", "high_school_chemistry",
    "high_school_geography", "high_school_mathematics", "high_school_physics", "high_school_politics",
    "human_sexuality", "international_law", "journalism", "jurisprudence", "legal_and_moral_basis", "logical",
    "machine_learning", "management", "marketing", "marxist_theory", "modern_chinese", "nutrition", "philosophy",
    "professional_accounting", "professional_law", "professional_medicine", "professional_psychology",
    "public_relations", "security_study", "sociology", "sports_science", "traditional_chinese_medicine", "virology",
    "world_history", "world_religions",
)  # fmt: skip

RowReader = Callable[[Mapping[str, Any], str, int], Item]


class Method(StrEnum):
    """How a model is asked, and what its answer is."""

    TEXT = "text"  # it writes, and its answer stands in what it wrote
    PROGRAM = "program"  # it writes a Python program, which is run in the sandbox
    LIKELIHOOD = "likelihood"  # its answer is the letter that it holds most likely


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Facts of one benchmark. `columns` are the fields that a row must have."""

    name: str
    title: str
    subsets: tuple[str, ...]
    columns: tuple[str, ...]
    read_row: RowReader
    prompt: str  # of eval_tasks.prompts.SOURCES
    answer_styles: tuple[str, ...] = ()  # of eval_tasks.answers.extract: the first that finds an answer is taken
    method: Method = Method.TEXT
    judge_options: Mapping[str, float] = field(default_factory=dict)  # of eval_tasks.answers.judge
    hub_name: str | None = None
    hub_subset: str | None = None  # the hub's configuration name, where it is not the subset's own
    split: str = "test"
    data_of: str = ""  # the benchmark whose data files these problems are chosen from
    parts: Callable[[str], tuple[str, ...]] | None = None  # the data files' subsets that a subset is chosen from
    keeps: Callable[[Item, str], bool] | None = None  # which of their problems belong to a subset
    packaged_file: str | None = None  # under tasks/

    def hub_config(self, subset: str) -> str:
        """The hub's configuration name for a subset."""
        return self.hub_subset or subset

    def sources(self, subset: str) -> tuple[str, ...]:
        """The subsets of the data files that a subset's problems stand in."""
        return self.parts(subset) if self.parts is not None else (subset,)


def _math_parts(subset: str) -> tuple[str, ...]:
    return MATH_SUBSETS if subset in MATH_LEVELS or subset == "all" else (subset,)


def _is_of_level(item: Item, subset: str) -> bool:
    return subset not in MATH_LEVELS or item.level in (MATH_LEVELS[subset], subset.removeprefix("level_"))


def _has_whole_answer(item: Item, subset: str) -> bool:
    return _is_of_level(item, subset) and rows.whole_number(item.answer) is not None


_MINERVA = ("minerva", "boxed")
# Programs compute in floating point; the grader compares exactly. Chosen by us.
_OF_PROGRAMS = {"tolerance": 1e-9}
# numpy.isclose's own relative tolerance, with which Llemma's harness compared numeric answers of OCWCourses. Its rule
# for answers near zero (an exact 0 or negative answer was marked wrong, and 1 % was allowed) is not kept.
_OF_OCW = {"tolerance": 1e-5}

BENCHMARKS: Mapping[str, Benchmark] = MappingProxyType(
    {
        benchmark.name: benchmark
        for benchmark in (
            Benchmark(
                name="builtin",
                title="Built-in problems: algebra, number theory, counting, calculus",
                subsets=("all",),
                columns=("id", "problem", "answer"),
                read_row=rows.read_plain,
                prompt="own",
                answer_styles=_MINERVA,
                packaged_file="builtin/problems.jsonl",
            ),
            Benchmark(
                name="minerva_math",
                title="MATH (Hendrycks et al. 2021), Minerva prompt",
                subsets=(*MATH_SUBSETS, *MATH_LEVELS),
                columns=("problem", "solution"),
                read_row=rows.read_math,
                prompt="minerva",
                answer_styles=_MINERVA,
                hub_name="EleutherAI/hendrycks_math",
                parts=_math_parts,
                keeps=_is_of_level,
            ),
            Benchmark(
                name="minerva_math500",
                title="MATH-500 (Lightman et al. 2023), Minerva prompt",
                subsets=("default",),
                columns=("problem", "solution"),
                read_row=rows.read_math,
                prompt="minerva",
                answer_styles=_MINERVA,
                hub_name="HuggingFaceH4/MATH-500",
            ),
            Benchmark(
                name="gsm8k",
                title="GSM8K (Cobbe et al. 2021), eight worked examples",
                subsets=("main",),
                columns=("question", "answer"),
                read_row=rows.read_gsm8k,
                prompt="gsm8k_cot",
                answer_styles=("gsm8k",),
                hub_name="openai/gsm8k",
            ),
            Benchmark(
                name="ocw",
                title="OCWCourses (Lewkowycz et al. 2022), university science",
                subsets=("default",),
                columns=("problem", "answer"),
                read_row=rows.read_plain,
                prompt="own",
                answer_styles=_MINERVA,
                judge_options=_OF_OCW,
                hub_name="open-web-math/ocwcourses",
            ),
            Benchmark(
                name="mmlu_stem",
                title="MMLU, the 18 STEM subjects (Hendrycks et al. 2021), chain of thought",
                subsets=MMLU_STEM,
                columns=("question", "choices", "answer"),
                read_row=rows.read_mmlu,
                prompt="mmlu_flan_cot",
                answer_styles=("choice",),
                hub_name="cais/mmlu",
            ),
            Benchmark(
                name="sat",
                title="SAT of May 2023, mathematics without figures (Azerbayev et al. 2023)",
                subsets=("default",),
                columns=("Question", "Possible Answers", "Answer"),
                read_row=rows.read_sat,
                prompt="own",
                answer_styles=("choice",),
                hub_name="mcaleste/sat_multiple_choice_math_may_23",
                split="train",
            ),
            Benchmark(
                name="math_python",
                title="MATH answered by Python programs",
                subsets=(*MATH_SUBSETS, *MATH_LEVELS),
                columns=("problem", "solution"),
                read_row=rows.read_math,
                prompt="own",
                method=Method.PROGRAM,
                judge_options=_OF_PROGRAMS,
                hub_name="EleutherAI/hendrycks_math",
                data_of="minerva_math",
                parts=_math_parts,
                keeps=_is_of_level,
            ),
            Benchmark(
                name="gsm8k_python",
                title="GSM8K answered by Python programs",
                subsets=("main",),
                columns=("question", "answer"),
                read_row=rows.read_gsm8k,
                prompt="own",
                method=Method.PROGRAM,
                judge_options=_OF_PROGRAMS,
                hub_name="openai/gsm8k",
                data_of="gsm8k",
            ),
            Benchmark(
                name="math_integer",
                title="MATH of levels 4 and 5 with whole-number answers (NuminaMath's validation)",
                subsets=("level_4", "level_5"),
                columns=("problem", "solution"),
                read_row=rows.read_math,
                prompt="minerva",
                answer_styles=_MINERVA,
                hub_name="EleutherAI/hendrycks_math",
                data_of="minerva_math",
                parts=_math_parts,
                keeps=_has_whole_answer,
            ),
            *(
                Benchmark(
                    name=name,
                    title=title,
                    subsets=("default",),
                    columns=("problem", "answer"),
                    read_row=rows.read_contest,
                    prompt="minerva",
                    answer_styles=_MINERVA,
                    hub_name=f"AI-MO/aimo-validation-{name}",
                    split="train",
                )
                for name, title in (
                    ("amc", "AMC 12 of 2022 and 2023 with whole-number answers (NuminaMath's validation)"),
                    ("aime", "AIME of 2022 to 2024 (NuminaMath's validation)"),
                )
            ),
            Benchmark(
                name="math23k",
                title="MATH23K (Wang et al. 2017), Chinese word problems",
                subsets=("default",),
                columns=("original_text", "ans"),
                read_row=rows.read_math23k,
                prompt="own",
                answer_styles=("boxed", "last"),
            ),
            Benchmark(
                name="ceval",
                title="C-Eval (Huang et al. 2023), 52 subjects, most likely letter",
                subsets=CEVAL_SUBJECTS,
                columns=("question", *rows.LETTERS, "answer"),
                read_row=rows.read_chinese_exam,
                prompt="ceval",
                method=Method.LIKELIHOOD,
                hub_name="ceval/ceval-exam",
                split="val",  # the answers of its test split are not published
            ),
            Benchmark(
                name="cmmlu",
                title="CMMLU (Li et al. 2023), 67 subjects, most likely letter",
                subsets=CMMLU_SUBJECTS,
                columns=("Question", *rows.LETTERS, "Answer"),
                read_row=rows.read_chinese_exam,
                prompt="cmmlu",
                method=Method.LIKELIHOOD,
                hub_name="haonan-li/cmmlu",
            ),
        )
    }
)
