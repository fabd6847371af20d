"""Where kernels can be broken, and sources in which every break waits for its number.

A mutant is one place of one file: a barrier or fence left out, an atomic made a plain update, a bound or comparison
moved, a condition dropped, a warp mask cut, an event wait left out. Most can be decided while the kernel runs: `a < b`
becomes `(MUTANT(7) ? a <= b : a < b)`, so that one build holds them all. What the compiler must know (constexpr) cannot,
and is changed in the text instead: a build each.
"""
import dataclasses
import re

# What to look for, and what it is called. The text of a match is the operator or statement itself.
RULES = [
    ("barrier removed", r"\b__syncthreads\(\);"),
    ("warp barrier removed", r"\b__syncwarp\([^;]*\);"),
    ("fence removed", r"\b__threadfence(?:_block)?\(\);"),
    ("copy wait removed", r"\b__pipeline_wait_prior\([^;]*\);"),
    ("event wait removed", r"\bMUSTER_CUDA\(cudaStreamWaitEvent\([^;]*\);"),
    ("host wait removed", r"(?<=[\s{])wait\([^;]*\);"),
    ("atomic made plain", r"\batomicAdd(?=\()"),
    ("mask cut", r"\bk(?:AllLanes|WholeWarp)\b(?=[,)])|\b0xffffffffu?\b(?=[,)])"),
    ("bound widened", r"(?<=[\w\])]) < (?=[\w(])"),
    ("bound narrowed", r"(?<=[\w\])]) <= (?=[\w(])"),
    ("bound widened", r"(?<=[\w\])]) > (?=[\w(])"),
    ("bound narrowed", r"(?<=[\w\])]) >= (?=[\w(])"),
    ("comparison turned", r"(?<=[\w\])]) == (?=[\w(])"),
    ("condition dropped", r"(?<=&& )(?=[\w!(])"),
    ("step off by one", r"(?<=\+ )1\b(?!\.)"),
    ("shift off by one", r"(?<=>> )\d+\b"),
]
TURNED = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!="}
# A loop of fixed length, as a rule over an array in registers: one turn more is nothing a run could show.
CONSTANT = r"(?:k[A-Z]\w*(?:<\w+>)?|\d+)"
FIXED_LOOP = re.compile(rf"for \([^;]*; (\w+) < {CONSTANT}(?: [*/+-] {CONSTANT})*; \+\+\1\)")
FIXED = re.compile(r"\bconstexpr\b|^\s*(?:static_assert|template|#|//|__launch_bounds__|__global__ __launch_bounds__)|^\s+k\w+ .*>;$")
TEMPLATE_BRACKET = re.compile(r"^(?:template|using|struct .*<)")


@dataclasses.dataclass(frozen=True)
class Mutant:
    file: str  # its name alone
    line: int
    what: str
    shown: str  # the line
    begin: int
    end: int
    operator: tuple[int, int]
    live: bool  # decided while it runs

    def key(self, nth: int) -> str:
        """Names it as long as its line does not change, wherever the line moves."""
        return f"{self.file}: {self.what}: {self.shown} [{nth}]"


def extent(text: str, at: int, step: int, stops: str) -> int:
    """How far an operand reaches from `at`: to a stop outside of all parentheses."""
    opening, closing = ("([{", ")]}") if step > 0 else (")]}", "([{")
    depth = 0
    while 0 <= at < len(text):
        c = text[at]
        if c in opening:
            depth += 1
        elif c in closing:
            if depth == 0:
                return at
            depth -= 1
        elif depth == 0:
            if c in ";,?" or (c == ":" and ":" not in (text[at - 1], text[at + 1])):
                return at
            rest = text[at : at + 2] if step > 0 else text[at - 1 : at + 1]
            if rest in ("&&", "||") or any(rest == s for s in stops.split()):
                return at
            if c in "&|^" and text[at - 1] == " " and text[at + 1] == " " or (
                c == "=" and text[at - 1] in " +-*/%|&^" and text[at + 1] in " \n" and step < 0
            ):
                return at
            if step < 0 and text[max(0, at - 5) : at + 1] == "return":
                return at
        at += step
    return at


def closing(text: str, opening: int) -> int:
    """Where the parenthesis that opens there is closed."""
    depth = 0
    for at in range(opening, len(text)):
        depth += (text[at] == "(") - (text[at] == ")")
        if depth == 0:
            return at
    raise ValueError(f"never closed: {text[opening:opening + 40]}")


def span_of(text: str, what: str, begin: int, end: int) -> tuple[int, int]:
    """The whole expression or statement that a match belongs to."""
    if "bound" in what or what == "comparison turned":
        stops = "==" if "bound" in what else ""
        left = extent(text, begin - 1, -1, stops) + 1
        right = extent(text, end, +1, stops)
        while text[left].isspace():
            left += 1
        while text[right - 1].isspace():
            right -= 1
        return left, right
    if what == "atomic made plain":
        return begin, closing(text, end) + 1
    if what == "condition dropped":
        right = extent(text, end, +1, "")
        while text[right - 1].isspace():
            right -= 1
        return begin, right
    return begin, end


def mutants_of(name: str, text: str) -> list[Mutant]:
    found = []
    for what, pattern in RULES:
        for match in re.finditer(pattern, text):
            first = text.rfind("\n", 0, match.start()) + 1
            line = text[first : text.find("\n", match.start())]
            before = text[first : match.start()]
            if "//" in before or line.lstrip().startswith(("//", "#", "static_assert", "using", "MUSTER_CHECK")):
                continue  # a check of what callers owe is no part of what kernels do
            statement = text[max(text.rfind(c, 0, match.start()) for c in ";{}") + 1 : match.start()]
            if re.search(r"\btemplate\b|\brequires\b|__launch_bounds__|\benum\b", statement):
                continue  # types and declarations
            kind = what
            if what == "bound widened" and (loop := FIXED_LOOP.search(line)):
                if loop.end(1) == match.start() - first:
                    kind = "bound cut"  # its last turn is left out
            live = not re.search(r"\bconstexpr\b|\bstatic_assert\b", statement.split("#pragma unroll")[-1])
            begin, end = span_of(text, what, match.start(), match.end())
            number = text.count("\n", 0, match.start()) + 1
            found.append(Mutant(name, number, kind, line.strip(), begin, end, match.span(), live))
    return sorted(found, key=lambda m: (m.begin, m.operator))


def changed(mutant: Mutant, whole: str, left: str, right: str, guard: str) -> tuple[str, str]:
    """The text of the mutant, and of the choice between it and `whole`, whose operands are left and right."""
    what = mutant.what
    if "removed" in what:
        return ";", f"{{ if (!{guard}) {whole} }}"
    if what == "atomic made plain":
        plain = whole.replace("atomicAdd", "muster_plain_add", 1)
        return plain, f"({guard} ? {plain} : {whole})"
    if what == "mask cut":
        return f"({whole} >> 1)", f"({whole} >> ({guard} ? 1 : 0))"
    if what == "condition dropped":
        return "true", f"({guard} || ({whole}))"
    if what in ("step off by one", "shift off by one"):
        return str(int(whole) + 1), f"({whole} + ({guard} ? 1 : 0))"
    if what == "bound cut":
        return f"{left} + 1 < {right}", f"({guard} ? {left} + 1 < {right} : {left} < {right})"
    operator = whole  # of a comparison
    turned = TURNED[operator.strip()]
    return f"{left} {turned} {right}", f"({guard} ? {left} {turned} {right} : {left}{operator}{right})"


def rewritten(text: str, begin: int, end: int, numbered: list[tuple[int, Mutant]], fixed: Mutant | None = None) -> str:
    """text[begin:end] with a choice at each mutant that lies in it, and `fixed` made for good."""
    out, at = [], begin
    inside = [(i, m) for i, m in numbered if begin <= m.begin and m.end <= end]
    while inside:
        # The outermost that begins first; among equals the longest.
        i, m = min(inside, key=lambda pair: (pair[1].begin, -pair[1].end))
        rest = [(j, o) for j, o in inside if o is not m]
        if "bound" in m.what or m.what == "comparison turned":
            left = rewritten(text, m.begin, m.operator[0], rest)
            right = rewritten(text, m.operator[1], m.end, rest)
            whole = text[m.operator[0] : m.operator[1]]
        else:
            left = right = ""
            whole = text[m.begin : m.end] if "removed" in m.what or "atomic" in m.what else rewritten(
                text, m.begin, m.end, rest)
        mutated, choice = changed(m, whole, left, right, f"MUTANT({i})")
        out += [text[at : m.begin], mutated if m is fixed else choice]
        at = m.end
        inside = [(j, o) for j, o in rest if o.begin >= m.end]
    out.append(text[at:end])
    return "".join(out)


def instrumented(text: str, numbered: list[tuple[int, Mutant]]) -> str:
    return rewritten(text, 0, len(text), numbered)


def broken(text: str, mutant: Mutant) -> str:
    """The text with this one mutant alone, made for good."""
    return rewritten(text, 0, len(text), [(0, mutant)], fixed=mutant)
