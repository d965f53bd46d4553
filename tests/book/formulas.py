"""The symbols that occur in the formulas of a text."""

import re

from tests.book.notebook_rules import without_code

# Words of LaTeX that are no symbol of ours: operators, relations, brackets, spaces and looks.
WORDS = """
    frac dfrac tfrac sqrt sum prod int max min arg argmax argmin log exp ln sin cos tanh
    left right big Big bigl bigr Bigl Bigr bigg Bigg lvert rvert lVert rVert langle rangle lfloor rfloor lceil rceil mid
    le leq ge geq ne neq approx equiv sim propto ll gg in notin ni subset subseteq cup cap setminus emptyset
    to gets mapsto leftarrow rightarrow Rightarrow Leftarrow longrightarrow longleftarrow leftrightarrow implies iff
    cdot cdots ldots dots vdots times div pm mp odot otimes oplus circ ast star top partial nabla infty forall exists
    hat bar tilde vec dot overline underline widehat widetilde underbrace overbrace mathbf boldsymbol mathbb
    mathsf mathit bm quad qquad displaystyle textstyle limits nolimits tag label begin end hline
    underset overset stackrel substack operatorname phantom hphantom mathrel mathop
    colonequals lbrace rbrace lbrack rbrack vert Vert prime not colon land lor neg space
""".split()
# Their argument is a word, not a product of letters.
NAMES = r"\\(?:text|textit|textbf|textrm|mathrm|operatorname\*?|mathtt|texttt|tag|label|begin|end|mathbb)\s*\{[^{}]*\}"


def formulas(text: str) -> list[str]:
    """What stands between the dollars of a Markdown text."""
    text = without_code(text).replace("\\$", "")
    display = re.findall(r"\$\$(.+?)\$\$", text, flags=re.DOTALL)
    rest = re.sub(r"\$\$.+?\$\$", "", text, flags=re.DOTALL)
    inline = re.findall(r"(?<!\$)\$(?!\s)([^$\n]+?(?:\n[^$\n]+?)?)(?<!\s)\$(?!\d)", rest)
    return display + inline


def symbols(formula: str) -> set[str]:
    """Its letters and Greek letters, without the names of functions and words.

    A symbol is one letter: of ``\\hat z_c(u)`` they are z, c and u. A letter in script is another one.
    """
    script = set(re.findall(r"\\mathcal\s*\{?\s*[A-Z]", formula))
    formula = re.sub(r"\\mathcal\s*\{?\s*[A-Z]", " ", re.sub(NAMES, " ", formula))
    words = set(re.findall(r"\\([A-Za-z]+)", formula)) - set(WORDS)
    letters = set(re.findall(r"[A-Za-z]", re.sub(r"\\[A-Za-z]+", " ", formula)))
    calligraphic = {f"\\mathcal{{{match[-1]}}}" for match in script}
    return letters | calligraphic | {f"\\{word}" for word in words}


def symbols_of(text: str) -> set[str]:
    """The symbols of all formulas of a text."""
    return set().union(*map(symbols, formulas(text)))
