"""No source file is too long to read in one go, and no function in one look."""

import ast
import re
from bisect import bisect_left as bisect
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("imondrian", "pointmetrics", "include", "bench", "tests", "docs", "examples", ".ci")
PYTHON, NATIVE = (".py", ".pyx", ".pxi"), (".cpp", ".hpp", ".cu", ".cuh")
MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION = 450, 40

# What is longer still: to shrink, never to grow.
FILES = {
    "tests/imondrian/_models/test_numbers.py": 530,
    "tests/imondrian/test_keyed.py": 507,
}
FUNCTIONS = {
    "imondrian/_cli/stream/stream.py:_end": 42,
    "imondrian/native/score/spacing.cpp:spacings_as": 44,
    "imondrian/native/stream/learn.cpp:learn_as": 56,
    "imondrian/native/tree/build.hpp:build_tree": 64,
    "imondrian/native/tree/extend.hpp:insert": 45,
}


def sources():
    """Every source file by its name; what is made, and what was stored, is none."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix in PYTHON + NATIVE and not re.search(r"/(fixtures|results|_build|build)/|_core\.cpp$", name):
                yield name, path.read_text(encoding="utf-8")


def python_functions(text):
    """Yield every function's name, and how many lines it has below its docstring."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            yield node.name, body[-1].end_lineno - body[0].lineno + 1 if body else 0


def without_words(text):
    """Blank out comments, strings, macros, and what stands behind #else: its braces stand before it, too."""
    text = re.sub(
        r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'',
        lambda found: re.sub(r"[^\n]", " ", found[0]),
        text,
        flags=re.DOTALL,
    )
    lines, skipped, is_macro = [], [], False
    for line in text.split("\n"):
        word = re.match(r"\s*#\s*(\w+)", line)
        if word and word[1].startswith("if"):
            skipped.append(False)
        elif word and word[1] in ("else", "elif"):
            skipped[-1] = True
        elif word and word[1] == "endif":
            skipped.pop()
        is_call = re.fullmatch(r"\s*[A-Z][A-Z0-9_]*\([^()]*\)\s*", line)  # of a macro
        lines.append("" if word or is_macro or is_call or any(skipped) else line)
        is_macro = (bool(word) or is_macro) and line.endswith("\\")
    return "\n".join(lines)


def native_functions(text):
    """Yield every function's name, and how many lines it has from its name to its last brace."""
    code = without_words(text)
    ends_of_lines = [found.start() for found in re.finditer("\n", code)]
    open_blocks, head = [], 0
    for found in re.finditer(r"[{};]", code):
        words = code[head : found.start()]
        if found[0] == "{":
            named = re.search(r"\b(?!__)([\w~]+)\s*\(", words)
            before = re.sub(r"<[^<>]*>|\(.*", "", words, flags=re.DOTALL)
            is_type = re.search(r"\b(namespace|class|struct|union|enum)\b|\bextern\s*$|=", before)
            is_one = not is_type and not any(open_blocks)
            open_blocks.append((named[1], head + named.start()) if named and is_one else None)
        elif found[0] == "}" and open_blocks and (block := open_blocks.pop()):
            first, last = (bisect(ends_of_lines, place) for place in (block[1], found.start()))
            yield block[0], last - first + 1
        head = found.end()


FOUND = dict(sources())


def judged(lengths, most, allowed):
    """Return what is longer than it may be, and what need not be allowed any more."""
    return (
        {name: n for name, n in lengths.items() if n > max(most, allowed.get(name, 0))},
        {name for name in allowed if lengths.get(name, 0) <= most},
    )


def test_files_are_short():
    lengths = {name: text.count("\n") for name, text in FOUND.items()}
    assert judged(lengths, MOST_LINES_OF_A_FILE, FILES) == ({}, set())


def test_functions_are_short():
    lengths: dict[str, int] = {}
    for name, text in FOUND.items():
        for function, n in functions_of(name, text):
            at = f"{name}:{function}"
            lengths[at] = max(n, lengths.get(at, 0))
    assert len(lengths) > 4000  # they were found
    assert judged(lengths, MOST_LINES_OF_A_FUNCTION, FUNCTIONS) == ({}, set())


def functions_of(name, text):
    if name.endswith(NATIVE):
        return native_functions(text)
    return python_functions(text) if name.endswith(".py") else ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def f():\n    'Says.'\n    a = 1\n    return a\n", [("f", 2)]),
        ("class A:\n    async def f(self): ...\n", [("f", 1)]),
        ("def f():\n    def g():\n        return 1\n    return g\n", [("f", 3), ("g", 1)]),
    ],
)
def test_functions_of_python_are_counted(text, expected):
    assert list(functions_of("a.py", text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("namespace a {\nint f(int b) {\n  return b;\n}\n}\n", [("f", 3)]),
        ("template <class T>\nstruct A {\n  T f() const { return b_; }\n  T b_{1};\n};\n", [("f", 1)]),
        ("template <class T,\n          int k>\nvoid f(T a) {\n  for (;;) {\n  }\n}\n", [("f", 4)]),
        ('extern "C" __global__ void __launch_bounds__(8)\n    f(int a) {\n  // }\n  "}";\n}\n', [("f", 4)]),
        ("constexpr A kA[] = {{f(1)}, {2}};\nint g() {\n}\n", [("g", 2)]),
        ("#if A\nint f() {\n#else\nint f(int) {\n#endif\n  return 1;\n}\n", [("f", 6)]),
        ("#define A(b) \\\n  int b() { \\\n  }\nint g() { return '{' + 1'000; }\n", [("g", 1)]),
    ],
)
def test_functions_of_cpp_are_counted(text, expected):
    assert list(functions_of("a.hpp", text)) == expected
