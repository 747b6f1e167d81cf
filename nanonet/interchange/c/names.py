"""Names that a function in C cannot have: those of the language, of its library, and of the file around it."""

from __future__ import annotations

import re

KEYWORDS = frozenset(
    "auto break case char const continue default do double else enum extern float for goto if inline int "
    "long register restrict return short signed sizeof static struct switch typedef union unsigned void "
    "volatile while asm typeof linux unix main".split()
)
"""Of C99 and, from asm on, what compilers or systems add."""

MATHEMATICS = frozenset(
    name + end
    for name in (
        "acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 fabs fdim "
        "floor fma fmax fmin fmod frexp gamma hypot ilogb ldexp lgamma llrint llround log log10 log1p log2 "
        "logb lrint lround modf nan nearbyint nextafter nexttoward pow remainder remquo rint round scalbln "
        "scalbn sin sinh sqrt tan tanh tgamma trunc j0 j1 jn y0 y1 yn fpclassify isfinite isgreater "
        "isgreaterequal isinf isless islessequal islessgreater isnan isnormal isunordered signbit significand "
        "drem finite pow10 exp10 sincos"
    ).split()
    for end in ("", "f", "l")
)
"""Functions of math.h, those among them that only some systems have, too."""

LIBRARY = frozenset(
    "abort abs atexit atof atoi atol atoll bsearch calloc clearerr div exit fclose feof ferror fflush "
    "fgetc fgetpos fgets fopen fprintf fputc fputs fread free freopen fscanf fseek fsetpos ftell fwrite "
    "getc getchar getenv gets index labs ldiv llabs lldiv longjmp malloc memchr memcmp memcpy memmove "
    "memset perror printf putc putchar puts qsort raise rand read realloc remove rename rewind rindex "
    "scanf setbuf setjmp setvbuf signal snprintf sprintf srand sscanf system time tmpfile tmpnam ungetc "
    "vfprintf vfscanf vprintf vscanf vsnprintf vsprintf vsscanf write BUFSIZ EOF FILE INFINITY NAN "
    "NANONET_TEST NULL stderr stdin stdout".split()
)
"""What else a program is linked with, or that a header defines."""

RESERVED = re.compile(r"(str|mem|wcs|is|to)[a-z]\w*|(FP|HUGE|MATH|M|SEEK)_\w+", re.ASCII)
"""What the standard keeps for itself."""


def checked_name(name: object) -> str:
    """Return the name of a function, checked.

    Raises
    ------
    ValueError
        If it is none in C, or taken.
    """
    if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII)):
        raise ValueError(f"export: expected function as a name in C, such as 'net', got {name!r:.60}")
    if name in KEYWORDS | MATHEMATICS | LIBRARY or RESERVED.fullmatch(name):
        raise ValueError(f"export: expected another name for the function than {name!r}, which C has itself")
    return name


def refuse_used(name: str, code: str) -> None:
    """Raise ValueError if the file needs a name itself."""
    bare = re.sub(r"/\*.*?\*/|\"[^\"]*\"", "", code, flags=re.DOTALL)
    if re.search(rf"\b{name}\b", bare, re.ASCII):
        raise ValueError(f"export: expected another name for the function than {name!r}, which the file has itself")
