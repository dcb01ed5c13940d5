r"""What control sequences and environments mean to the scans, and the hash table in which they look them up.

A name's key is FNV-1a over its bytes without the backslash; an environment's begins from another offset, so that one
table holds both.  A value below MACRO is one of the codes here, from MACRO on it is a macro of the paper.
"""

from __future__ import annotations

from functools import cache

import numpy as np

FNV_OFFSET = 0xCBF29CE484222325
FNV_ENVIRONMENT = 0x9AE16A3B2F90404F
FNV_PRIME = 0x100000001B3
_MASK = (1 << 64) - 1

TABLE_SIZE = 1 << 13
MACRO = 1000

# Codes of control words. Those from KEPT on are never redefined by a paper, as far as the scans are concerned.
(STANDARD, PROGRAM, ARG1, ARG2, TEXT1, NEWCOMMAND, RENEWCOMMAND, PROVIDECOMMAND, DEF, GDEF, LET, MATHOP, NEWENV,
 RENEWENV, PAIRED, NEWIF, XPARSE, PREFIX, EXPANDAFTER, IFTRUE, IFFALSE, IFMMODE, IF, ELSE, FI, AT_LETTER, AT_OTHER,
 ENSUREMATH, XSPACE, NOTHING, DEFSKIP1, DEFSKIP2, CSNAME, DROP0, DROP1, DROP2) = range(1, 37)  # fmt: skip
KEPT = 40
(PLAIN, BEGIN, END, VERB, VERB_OPTION, VERB_LANGUAGE, URL, HREF, INPUT, IMPORT, SUBIMPORT, IF_FILE, PACKAGE, CLASS,
 ENDINPUT, SECTION, APPENDIX, BIBLIOGRAPHY, TITLE, AUTHOR, ABSTRACT, BOXMARK,
 VERBATIM_DEFINER) = range(40, 63)  # fmt: skip
# Codes of environments.
(ENV_VERBATIM, ENV_COMMENT, ENV_MATH, ENV_DOCUMENT, ENV_BIBLIOGRAPHY, ENV_ABSTRACT, ENV_DRAWING, ENV_APPENDIX,
 ENV_PLAIN, ENV_FRONT) = range(80, 90)  # fmt: skip


def fnv(name: bytes, offset: int = FNV_OFFSET) -> int:
    """The key of a name in the table; `offset` is FNV_ENVIRONMENT for environments."""
    value = offset
    for byte in name:
        value = ((value ^ byte) * FNV_PRIME) & _MASK
    return value


# A paper may change what stands here in its preamble (\renewcommand{\epsilon}{\varepsilon}), its style files may not.
_STANDARD = """
alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi varpi rho varrho
sigma varsigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega
digamma aleph beth gimel hbar imath jmath ell wp Re Im partial infty prime emptyset varnothing nabla surd top
bot angle forall exists nexists neg lnot flat natural sharp clubsuit diamondsuit heartsuit spadesuit complement
mho eth Bbbk sum prod coprod int oint iint iiint iiiint idotsint bigcap bigcup bigsqcup bigvee bigwedge bigodot
bigotimes bigoplus biguplus pm mp times div ast star circ bullet cdot cap cup uplus sqcap sqcup vee wedge land
lor setminus smallsetminus wr diamond bigtriangleup bigtriangledown triangleleft triangleright lhd rhd unlhd
unrhd oplus ominus otimes oslash odot bigcirc dagger ddagger amalg leq le geq ge ll gg lll ggg prec succ preceq
succeq sim simeq approx cong equiv subset supset subseteq supseteq subsetneq supsetneq nsubseteq nsupseteq
sqsubset sqsupset sqsubseteq sqsupseteq in ni notin owns vdash dashv models perp mid nmid parallel nparallel
bowtie Join smile frown asymp doteq propto neq ne ltimes rtimes leqslant geqslant lesssim gtrsim lessgtr gtrless
eqslantless thickapprox thicksim backsim triangleq vDash Vdash leftarrow rightarrow to gets leftrightarrow
Leftarrow Rightarrow Leftrightarrow longleftarrow longrightarrow longleftrightarrow Longleftarrow Longrightarrow
Longleftrightarrow mapsto longmapsto hookleftarrow hookrightarrow leftharpoonup leftharpoondown rightharpoonup
rightharpoondown rightleftharpoons leadsto rightsquigarrow uparrow downarrow updownarrow Uparrow Downarrow
Updownarrow nearrow searrow swarrow nwarrow iff implies impliedby twoheadrightarrow rightarrowtail
dashrightarrow xrightarrow xleftarrow rightrightarrows leftleftarrows upharpoonright restriction curvearrowright
circlearrowleft square blacksquare Box Diamond lozenge bigstar langle rangle lfloor rfloor lceil rceil lbrace
rbrace lbrack rbrack vert Vert lvert rvert lVert rVert backslash arccos arcsin arctan arg cos cosh cot coth csc
deg det dim exp gcd hom inf injlim ker lg lim liminf limsup ln log max min Pr projlim sec sin sinh sup tan tanh
bmod pmod mod pod varinjlim varprojlim ldots cdots vdots ddots dots dotsc dotsb dotsm dotsi dotso mathellipsis
textellipsis quad qquad enspace thinspace medspace thickspace negthinspace space hfill vfill hfil smallskip
medskip bigskip noindent indent par newline linebreak nolinebreak pagebreak nopagebreak break nobreak allowbreak
displaystyle textstyle scriptstyle scriptscriptstyle limits nolimits left right middle big Big bigg Bigg bigl
bigr Bigl Bigr biggl biggr Biggl Biggr bigm Bigm rm bf it sl sc tt sf em cal mit tiny scriptsize footnotesize
small normalsize large Large LARGE huge Huge rmfamily sffamily ttfamily bfseries mdseries itshape slshape
scshape upshape normalfont ss ae AE oe OE aa AA o O l L i j S P copyright pounds dag ddag textbackslash
textasciitilde textasciicircum LaTeX TeX LaTeXe BibTeX today and not over atop choose above brace brack buildrel
cases matrix pmatrix bordermatrix eqalign substack sideset tag notag nonumber intertext shortintertext qedhere
qed qedsymbol footnote footnotemark footnotetext marginpar centerline centering raggedright raggedleft hline
cline multicolumn multirow toprule midrule bottomrule cmidrule textcolor color definecolor colorbox fbox
framebox makebox raisebox parbox minipage rule hspace vspace phantom hphantom vphantom smash strut mathstrut
mspace bigskipamount arraystretch baselinestretch thefootnote theequation thesection thepage thetheorem d b c t
u v H k r dj DJ th TH ng NG
"""

# A body with one of these is not text put another way but a program, or typesetting by hand (\rlap, \raise): the name
# that the author gave says more, so such a macro is left as it stands.
_PROGRAM = """
catcode futurelet afterassignment aftergroup loop repeat write immediate openin openout closein closeout read
message errmessage noexpand unexpanded detokenize string meaning jobname number romannumeral the newcounter
setcounter addtocounter stepcounter refstepcounter advance multiply divide newcount newdimen newskip newbox
newtoks newread newwrite newlength setlength addtolength settowidth setbox copy box unhbox unvbox endgraf wd ht
dp hbox vbox vtop vcenter rlap llap mathrlap mathllap mathclap raise lower raisebox moveleft moveright kern
mkern hskip vskip mskip hss vss hrule vrule leaders cleaders xleaders mathchoice mathpalette ooalign halign
valign noalign omit span mathchar mathchardef mathcode delcode delimiter radical mathaccent char accent special
pdfliteral scalebox rotatebox resizebox includegraphics tikz pgf fontsize selectfont usefont font fontfamily
fontseries fontshape symbol DeclareFont everypar everymath output shipout vadjust insert mark penalty parshape
hangindent lccode uccode lowercase uppercase everydisplay eqno leqno obeylines obeyspaces scantokens newtheorem
theoremstyle NewDocumentEnvironment titleformat IfNoValueTF IfValueTF IfBooleanTF IfNoValueT IfValueT IfBooleanT
IfBooleanF ifthenelse equal value isodd whiledo @ifnextchar @ifstar @startsection @ifundefined @namedef @nameuse
kernel@ifnextchar @for @tfor @tempa @ne @empty @gobble @firstoftwo @secondoftwo @mkboth pgfmathsetmacro pgfkeys
tikzset foreach ExplSyntaxOn scalerel stackengine reflectbox clipbox includesvg input include
"""

_ARG1 = """
sqrt hat bar vec tilde dot ddot dddot check breve acute grave widehat widetilde overline underline overbrace
underbrace overrightarrow overleftarrow overleftrightarrow mathring mathbf mathrm mathcal mathbb mathfrak mathsf
mathit mathtt mathscr mathnormal boldsymbol bm pmb operatorname mathop mathbin mathrel mathord mathopen
mathclose mathpunct mathinner frak Bbb bold symbf symbb symcal symfrak symrm cancel boxed emph
"""
_ARG2 = """
frac dfrac tfrac cfrac binom dbinom tbinom overset underset stackrel
"""
_TEXT1 = """
text mbox textrm textbf textit textsf texttt textsc textsl textup textnormal textmd fbox intertext
shortintertext
"""

_CODES: dict[int, str] = {
    NEWCOMMAND: "newcommand newrobustcmd DeclareRobustCommand",
    RENEWCOMMAND: "renewcommand renewrobustcmd",
    PROVIDECOMMAND: "providecommand providerobustcmd",
    DEF: "def edef",
    GDEF: "gdef xdef",
    LET: "let",
    MATHOP: "DeclareMathOperator",
    NEWENV: "newenvironment provideenvironment",
    RENEWENV: "renewenvironment",
    PAIRED: "DeclarePairedDelimiter",
    NEWIF: "newif",
    XPARSE: """
        NewDocumentCommand RenewDocumentCommand ProvideDocumentCommand DeclareDocumentCommand
        NewExpandableDocumentCommand DeclareExpandableDocumentCommand
    """,
    PREFIX: "long global protected outer",
    EXPANDAFTER: "expandafter",
    IFTRUE: "iftrue",
    IFFALSE: "iffalse",
    IFMMODE: "ifmmode",
    IF: """
        if ifcat ifx ifnum ifdim ifodd ifvmode ifhmode ifinner ifvoid ifhbox ifvbox ifeof ifcase ifdefined ifcsname
        iffontchar ifincsname ifpdf ifluatex ifxetex ifPDFTeX ifLuaTeX ifXeTeX
    """,
    CSNAME: "csname",
    ELSE: "else",
    FI: "fi",
    AT_LETTER: "makeatletter",
    AT_OTHER: "makeatother",
    ENSUREMATH: "ensuremath",
    XSPACE: "xspace",
    NOTHING: "protect relax leavevmode",
    DEFSKIP1: "newcounter newlength newdimen newcount newskip newtoks newbox newsavebox theoremstyle",
    DEFSKIP2: "DeclareMathSymbol setlength addtolength setcounter addtocounter",
    PLAIN: """
        item label ref eqref pageref cref Cref autoref nameref cite citet citep citeauthor citeyear citealt citealp
        footcite textcite parencite caption newtheorem usetikzlibrary mathchoice iff ifthenelse
        ifstrequal iftoggle ifblank ifstrempty ifdef ifundef ifcsdef ifcsundef ifdefempty ifdefvoid ifboolexpr
        ifbool ifnumcomp ifnumequal ifinlist ifdefstring ifdefequal ifthispageodd ifoddpage bibitem
    """,
    BEGIN: "begin",
    END: "end",
    VERB: "verb Verb",
    VERB_OPTION: "lstinline",
    VERB_LANGUAGE: "mintinline",
    URL: "url path nolinkurl",
    HREF: "href",
    INPUT: "input include subfile subfileinclude @input",
    IMPORT: "import includefrom inputfrom",
    SUBIMPORT: "subimport subincludefrom subinputfrom",
    IF_FILE: "InputIfFileExists IfFileExists",
    PACKAGE: "usepackage RequirePackage LoadClass",
    CLASS: "documentclass documentstyle",
    ENDINPUT: "endinput",
    SECTION: "part chapter section subsection subsubsection paragraph subparagraph frametitle",
    APPENDIX: "appendix appendices",
    BIBLIOGRAPHY: "bibliography bibliographystyle printbibliography addbibresource nocite bibdata bibstyle",
    TITLE: "title icmltitle",
    AUTHOR: """
        author authors date address email affiliation institute institution inst thanks keywords subjclass urladdr
        curraddr dedicatory pacs preprint altaffiliation affil authorrunning titlerunning ead cortext fntext
        tnotetext icmlauthor icmlaffiliation corref eads noaffiliation homepage orcid shorttitle shortauthors
        received revised accepted published correspondingauthor authornote ccsdesc CCSXML acmConference runningtitle
        runningauthor offprints subtitle
    """,
    ABSTRACT: "abstract Abstract",
    DROP0: """
        maketitle tableofcontents listoffigures listoftables clearpage newpage cleardoublepage frontmatter
        mainmatter backmatter printindex makeindex onecolumn titlepage makecover icmlsetsymbol doublespacing
        singlespacing onehalfspacing linenumbers sloppy raggedbottom flushbottom makeglossaries noindentation
        endfrontmatter
    """,
    DROP1: """
        index glossary pagestyle thispagestyle pagenumbering allowdisplaybreaks twocolumn hypersetup graphicspath
        includeonly enlargethispage bibpunct
    """,
    DROP2: "markboth numberwithin captionsetup",
    VERBATIM_DEFINER: """
        lstnewenvironment DefineVerbatimEnvironment RecustomVerbatimEnvironment newminted newtcblisting
        excludecomment newverbatim MakeShortVerb DefineShortVerb
    """,
    BOXMARK: "special psfig epsfig epsfbox",
}

_ENVIRONMENTS: dict[int, str] = {
    ENV_VERBATIM: """
        verbatim verbatim* Verbatim Verbatim* BVerbatim LVerbatim SaveVerbatim lstlisting minted alltt pycode
        sagecode sageblock verbatimtab listing* tcblisting luacode luacode* pyglist
    """,
    ENV_COMMENT: "comment filecontents filecontents*",
    ENV_MATH: """
        equation equation* eqnarray eqnarray* align align* alignat alignat* flalign flalign* gather gather* multline
        multline* math displaymath dmath dmath* dgroup darray IEEEeqnarray IEEEeqnarray* subequations* xalignat
        xxalignat xalignat* empheq
    """,
    ENV_DOCUMENT: "document",
    ENV_BIBLIOGRAPHY: "thebibliography references REFERENCES biblist bibdiv chapthebibliography",
    ENV_ABSTRACT: "abstract Abstract abstract*",
    ENV_DRAWING: """
        tikzpicture pgfpicture picture pspicture pspicture* axis asy feynmanpicture fmfgraphs* fmffile postscript
        pspicturestar overpic circuitikz psmatrix
    """,
    ENV_APPENDIX: "appendix appendices subappendices",
    ENV_PLAIN: """
        theorem lemma proposition corollary definition remark example proof conjecture claim fact exercise problem
        solution notation question itemize enumerate description center flushleft flushright quote quotation verse
        figure figure* table table* tabular tabular* array matrix pmatrix bmatrix vmatrix Vmatrix Bmatrix
        smallmatrix cases aligned alignedat gathered split subequations minipage list trivlist titlepage frame block
        tikzcd CD multicols acknowledgments acknowledgements algorithm algorithmic landscape theindex keywords
        keyword IEEEkeywords
    """,
    ENV_FRONT: "authorlist CCSXML frontmatter*",
}


@cache
def builtin_codes() -> dict[int, int]:
    """Key to code of every name that is known before a paper is read."""
    codes: dict[int, int] = {}
    first = {STANDARD: _STANDARD, PROGRAM: _PROGRAM, ARG1: _ARG1, ARG2: _ARG2, TEXT1: _TEXT1}
    for code, words in {**first, **_CODES}.items():
        for name in words.split():
            codes[fnv(name.encode())] = code
    for code, words in _ENVIRONMENTS.items():
        for name in words.split():
            codes[fnv(name.encode(), FNV_ENVIRONMENT)] = code
    return codes


def words_of(codes: tuple[int, ...]) -> list[bytes]:
    """The built-in control words of these codes."""
    return [word.encode() for code in codes for word in _CODES.get(code, "").split()]


@cache
def _filled_table() -> tuple[np.ndarray, np.ndarray]:
    keys = np.zeros(TABLE_SIZE, np.uint64)
    values = np.zeros(TABLE_SIZE, np.int64)
    for key, code in builtin_codes().items():
        put(keys, values, key, code)
    return keys, values


def shared_table() -> tuple[np.ndarray, np.ndarray]:
    """The table of all built-in names, to be read only."""
    return _filled_table()


def new_table() -> tuple[np.ndarray, np.ndarray]:
    """Keys (uint64, 0 = free) and values (int64) of an open-addressing table with all built-in names."""
    keys, values = _filled_table()
    return keys.copy(), values.copy()


def put(keys: np.ndarray, values: np.ndarray, key: int, value: int) -> None:
    """Sets a key of the table."""
    slot = (key ^ (key >> 29)) & (len(keys) - 1)
    while int(keys[slot]) not in (0, key):
        slot = (slot + 1) & (len(keys) - 1)
    keys[slot] = key
    values[slot] = value
