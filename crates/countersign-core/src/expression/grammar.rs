//! The form of an expression: the part of CEL that a policy needs, read into a tree.
//!
//! CEL's own parser is not asked. It recurs so deep that ten brackets exhaust the stack of a thread in
//! a build without optimisation, it knows places only in its own terms, and it takes macros that yield
//! lists. What is read here it reads alike, which a test holds. Left out of CEL are bytes, unsigned
//! and hexadecimal numbers, maps, messages and comments: nothing of that says anything of a login.
//! <https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax>

use cel::common::ast::{LiteralValue, operators};

use super::{
    ExpressionError,
    tree::{Kind, Node},
};

/// How deep an expression may be nested: brackets, operators, and members of members. The evaluator
/// recurs as deep, at 50 KiB of stack for a level in a build without optimisation; a thread has 2 MiB.
const MAX_DEPTH: usize = 16;

/// Reads an expression of this form.
pub(super) fn read(text: &str) -> Result<Node, ExpressionError> {
    let mut reader = Reader::new(text)?;
    let node = reader.expression(0)?;
    match reader.token {
        Token::End => Ok(node),
        _ => Err(reader.expected("an operator or the end")),
    }
}

/// One word of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'t> {
    Name(&'t str),
    Number,
    /// Text in quotes, in which a backslash is an escape.
    Text,
    /// Text in quotes, in which a backslash is itself.
    RawText,
    /// An operator or a bracket.
    Sign(&'static str),
    End,
}

/// Longer ones first, of those that begin alike.
const SIGNS: [&str; 22] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "%", "?", ":", ".", ",",
    "(", ")", "[", "]",
];

/// Signs of one strength, with the operators that they stand for.
type Operators = [(&'static str, &'static str)];

const SUMS: &Operators = &[("+", operators::ADD), ("-", operators::SUBSTRACT)];
const PRODUCTS: &Operators = &[
    ("*", operators::MULTIPLY),
    ("/", operators::DIVIDE),
    ("%", operators::MODULO),
];
const RELATIONS: &Operators = &[
    ("==", operators::EQUALS),
    ("!=", operators::NOT_EQUALS),
    ("<=", operators::LESS_EQUALS),
    (">=", operators::GREATER_EQUALS),
    ("<", operators::LESS),
    (">", operators::GREATER),
    ("in", operators::IN),
];

/// The words that can't be a name of the author's, besides `true`, `false` and `null`.
const RESERVED: [&str; 18] = [
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Goes through the words of an expression.
struct Reader<'t> {
    text: &'t str,
    token: Token<'t>,
    start: usize,
    end: usize,
}

type Read = Result<Node, ExpressionError>;

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Result<Self, ExpressionError> {
        let mut reader = Self {
            text,
            token: Token::End,
            start: 0,
            end: 0,
        };
        reader.advance()?;
        Ok(reader)
    }

    /// `a ? b : c`, and all that binds tighter. `around` is in how many brackets it stands.
    fn expression(&mut self, around: usize) -> Read {
        let around = self.within(around + 1)?;
        let condition = self.disjunction(around)?;
        let offset = self.start;
        if !self.take("?")? {
            return Ok(condition);
        }
        let yes = self.disjunction(around)?;
        self.require(":", "`:`")?;
        let no = self.expression(around)?;
        self.operator(offset, operators::CONDITIONAL, vec![condition, yes, no])
    }

    fn disjunction(&mut self, around: usize) -> Read {
        self.balanced("||", operators::LOGICAL_OR, around, Self::conjunction)
    }

    fn conjunction(&mut self, around: usize) -> Read {
        self.balanced("&&", operators::LOGICAL_AND, around, Self::relation)
    }

    /// At most one comparison: what `a < b < c` means is not what it looks like.
    fn relation(&mut self, around: usize) -> Read {
        let left = self.sum(around)?;
        let offset = self.start;
        let Some(name) = self.take_one_of(RELATIONS)? else {
            return Ok(left);
        };
        let right = self.sum(around)?;
        if self.one_of(RELATIONS).is_some() {
            return Err(self.expected("one comparison at a time"));
        }
        self.operator(offset, name, vec![left, right])
    }

    fn sum(&mut self, around: usize) -> Read {
        self.leaning(SUMS, around, Self::product)
    }

    fn product(&mut self, around: usize) -> Read {
        self.leaning(PRODUCTS, around, Self::unary)
    }

    /// Parts joined from left to right.
    fn leaning(
        &mut self,
        signs: &Operators,
        around: usize,
        part: fn(&mut Self, usize) -> Read,
    ) -> Read {
        let mut left = part(self, around)?;
        loop {
            let offset = self.start;
            let Some(name) = self.take_one_of(signs)? else {
                return Ok(left);
            };
            let right = part(self, around)?;
            left = self.operator(offset, name, vec![left, right])?;
        }
    }

    /// Parts of which the order does not count: joined so that many are not deep.
    fn balanced(
        &mut self,
        sign: &'static str,
        name: &'static str,
        around: usize,
        part: fn(&mut Self, usize) -> Read,
    ) -> Read {
        let mut parts = vec![part(self, around)?];
        let mut offsets = Vec::new();
        loop {
            offsets.push(self.start);
            if !self.take(sign)? {
                return self.balance(name, &offsets, parts);
            }
            parts.push(part(self, around)?);
        }
    }

    /// `offsets` has the place of the sign after each part.
    fn balance(&self, name: &'static str, offsets: &[usize], mut parts: Vec<Node>) -> Read {
        // As CEL's parser does it: the sign in the middle is on top, with the larger half before it.
        let middle = parts.len().div_ceil(2);
        let right = parts.split_off(middle);
        let (before, after) = offsets.split_at(middle);
        match before.last() {
            Some(offset) if !right.is_empty() => {
                let left = self.balance(name, before, parts)?;
                let right = self.balance(name, after, right)?;
                self.operator(*offset, name, vec![left, right])
            }
            Some(_) | None => parts.pop().ok_or_else(|| self.expected("a value")),
        }
    }

    fn unary(&mut self, around: usize) -> Read {
        let offset = self.start;
        let name = if self.take("!")? {
            operators::LOGICAL_NOT
        } else if self.take("-")? {
            operators::NEGATE
        } else {
            return self.member(around);
        };
        match (name, self.token) {
            (_, Token::Sign("!" | "-")) => Err(self.expected("`!` or `-` only once")),
            (operators::NEGATE, Token::Number) => {
                let number = self.number("-")?;
                self.members(number, around)
            }
            (_, _) => {
                let member = self.member(around)?;
                self.operator(offset, name, vec![member])
            }
        }
    }

    fn member(&mut self, around: usize) -> Read {
        let value = self.primary(around)?;
        self.members(value, around)
    }

    /// What is selected of a value: `.name`, `.name(…)`, `[…]`.
    fn members(&mut self, mut of: Node, around: usize) -> Read {
        loop {
            let mut offset = self.start;
            let kind = if self.take(".")? {
                offset = self.start;
                let name = self.member_name()?;
                let target = Box::new(of);
                if self.take("(")? {
                    let arguments = self.list(")", around)?;
                    Kind::Call {
                        name,
                        target: Some(target),
                        arguments,
                    }
                } else {
                    Kind::Member(target, name)
                }
            } else if self.take("[")? {
                let index = self.expression(around)?;
                self.require("]", "`]`")?;
                Kind::Operator(operators::INDEX, vec![of, index])
            } else {
                return Ok(of);
            };
            of = self.node(offset, kind)?;
        }
    }

    fn primary(&mut self, around: usize) -> Read {
        let offset = self.start;
        let kind = match self.token {
            Token::Number => return self.number(""),
            Token::Text | Token::RawText => {
                Kind::Literal(LiteralValue::String(self.content().into()))
            }
            Token::Name("true") => Kind::Literal(LiteralValue::Boolean(true.into())),
            Token::Name("false") => Kind::Literal(LiteralValue::Boolean(false.into())),
            Token::Name("null") => Kind::Literal(LiteralValue::Null),
            Token::Name(name) if !RESERVED.contains(&name) => return self.name(name, around),
            Token::Sign("(") => {
                self.advance()?;
                let node = self.expression(around)?;
                self.require(")", "`)`")?;
                return Ok(node);
            }
            Token::Sign("[") => {
                self.advance()?;
                let items = self.list("]", around)?;
                return self.node(offset, Kind::List(items));
            }
            Token::Name(_) | Token::Sign(_) | Token::End => return Err(self.expected("a value")),
        };
        self.advance()?;
        self.node(offset, kind)
    }

    /// A variable, or the call of a function.
    fn name(&mut self, name: &str, around: usize) -> Read {
        let offset = self.start;
        let name = name.to_owned();
        self.advance()?;
        if !self.take("(")? {
            return self.node(offset, Kind::Name(name));
        }
        let arguments = self.list(")", around)?;
        self.node(
            offset,
            Kind::Call {
                name,
                target: None,
                arguments,
            },
        )
    }

    /// Expressions and commas, up to the closing bracket.
    fn list(&mut self, closing: &'static str, around: usize) -> Result<Vec<Node>, ExpressionError> {
        let mut items = Vec::new();
        if self.take(closing)? {
            return Ok(items);
        }
        loop {
            items.push(self.expression(around)?);
            if self.take(closing)? {
                return Ok(items);
            }
            self.require(",", &format!("`,` or `{closing}`"))?;
        }
    }

    fn member_name(&mut self) -> Result<String, ExpressionError> {
        match self.token {
            Token::Name(name) if !["in", "true", "false", "null"].contains(&name) => {
                self.advance()?;
                Ok(name.to_owned())
            }
            _ => Err(self.expected("a name; one that is no word is written `claims[\"…\"]`")),
        }
    }

    /// The number that is next, with its sign.
    fn number(&mut self, sign: &str) -> Read {
        let offset = self.start;
        let digits = &self.text[self.start..self.end];
        let text = format!("{sign}{digits}");
        let literal = if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            text.parse()
                .ok()
                .map(|number: i64| LiteralValue::Int(number.into()))
        } else {
            let number = text.parse().ok().filter(|number: &f64| number.is_finite());
            number.map(|number| LiteralValue::Double(number.into()))
        };
        let literal = literal.ok_or_else(|| self.expected("a number of 64 bits"))?;
        self.advance()?;
        self.node(offset, Kind::Literal(literal))
    }

    /// What the text that is next says, without quotes and escapes.
    fn content(&self) -> String {
        let whole = &self.text[self.start..self.end];
        if self.token == Token::RawText {
            return whole[2..whole.len() - 1].to_owned();
        }
        let mut content = String::new();
        let mut rest = whole[1..whole.len() - 1].chars();
        while let Some(character) = rest.next() {
            content.extend(match character {
                '\\' => rest.next().map(unescaped),
                _ => Some(character),
            });
        }
        content
    }

    fn operator(&self, offset: usize, name: &'static str, operands: Vec<Node>) -> Read {
        self.node(offset, Kind::Operator(name, operands))
    }

    fn node(&self, offset: usize, kind: Kind) -> Read {
        let node = Node::new(offset, kind);
        self.within(node.depth())?;
        Ok(node)
    }

    fn one_of(&self, signs: &Operators) -> Option<&'static str> {
        let (Token::Sign(found) | Token::Name(found)) = self.token else {
            return None;
        };
        let found = signs.iter().find(|(sign, _)| *sign == found);
        found.map(|(_, name)| *name)
    }

    fn take_one_of(&mut self, signs: &Operators) -> Result<Option<&'static str>, ExpressionError> {
        let found = self.one_of(signs);
        if found.is_some() {
            self.advance()?;
        }
        Ok(found)
    }

    fn take(&mut self, sign: &'static str) -> Result<bool, ExpressionError> {
        let found = self.token == Token::Sign(sign);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn require(&mut self, sign: &'static str, what: &str) -> Result<(), ExpressionError> {
        if self.take(sign)? {
            Ok(())
        } else {
            Err(self.expected(what))
        }
    }

    fn within(&self, depth: usize) -> Result<usize, ExpressionError> {
        if depth <= MAX_DEPTH {
            Ok(depth)
        } else {
            Err(ExpressionError::new(
                self.start,
                format!("expected at most {MAX_DEPTH} levels of brackets, operators and members"),
            ))
        }
    }

    fn expected(&self, what: &str) -> ExpressionError {
        let found = match self.token {
            Token::End => "the end".to_owned(),
            _ => format!("`{}`", &self.text[self.start..self.end]),
        };
        ExpressionError::new(self.start, format!("expected {what}, found {found}"))
    }

    /// Goes on to the next word.
    fn advance(&mut self) -> Result<(), ExpressionError> {
        let rest = &self.text[self.end..];
        let rest = rest.trim_start_matches([' ', '\t', '\n', '\r']);
        self.start = self.text.len() - rest.len();
        let (token, length) = match rest.bytes().next() {
            None => (Token::End, 0),
            Some(b'"' | b'\'') => (Token::Text, self.text_length(rest)?),
            Some(b'r') if rest[1..].starts_with(['"', '\'']) => {
                (Token::RawText, 1 + self.raw_length(&rest[1..])?)
            }
            Some(b'0'..=b'9') => (Token::Number, self.number_length(rest)?),
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'_') => {
                let length = span(rest, is_name_part);
                (Token::Name(&rest[..length]), length)
            }
            Some(_) => self.sign(rest)?,
        };
        self.token = token;
        self.end = self.start + length;
        Ok(())
    }

    fn sign(&self, rest: &str) -> Result<(Token<'t>, usize), ExpressionError> {
        let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
        let sign = sign.map(|sign| (Token::Sign(sign), sign.len()));
        sign.ok_or_else(|| {
            let found = rest.chars().next().unwrap_or_default();
            ExpressionError::new(
                self.start,
                format!(
                    "expected a value or an operator, found `{}`",
                    found.escape_debug()
                ),
            )
        })
    }

    /// Digits, a fraction, an exponent.
    fn number_length(&self, rest: &str) -> Result<usize, ExpressionError> {
        let digits = |from: usize| from + span(&rest[from..], |byte| byte.is_ascii_digit());
        let mut length = digits(0);
        let mut is_whole = length > 0;
        if rest[length..].starts_with('.') {
            let fraction = length + 1;
            length = digits(fraction);
            is_whole = length > fraction;
        }
        if is_whole && rest[length..].starts_with(['e', 'E']) {
            let sign = usize::from(rest[length + 1..].starts_with(['+', '-']));
            let exponent = length + 1 + sign;
            length = digits(exponent);
            is_whole = length > exponent;
        }
        if is_whole && !rest[length..].bytes().next().is_some_and(is_name_part) {
            Ok(length)
        } else {
            Err(ExpressionError::new(
                self.start,
                "expected a number such as `15` or `0.5`",
            ))
        }
    }

    /// From the quote to its twin, with the escapes that people use.
    fn text_length(&self, rest: &str) -> Result<usize, ExpressionError> {
        let quote = rest.as_bytes()[0];
        let mut escaped = false;
        for (index, byte) in rest.bytes().enumerate().skip(1) {
            match (byte, escaped) {
                (b'\n' | b'\r', _) => break,
                (b'\\' | b'"' | b'\'' | b'n' | b't', true) => escaped = false,
                (_, true) => {
                    return Err(ExpressionError::new(
                        self.start + index - 1,
                        "expected `\\\\`, `\\\"`, `\\'`, `\\n` or `\\t`; a pattern is best written r'…', where `\\` is itself",
                    ));
                }
                (b'\\', false) => escaped = true,
                (_, false) if byte == quote => return Ok(index + 1),
                (_, false) => {}
            }
        }
        Err(self.unterminated())
    }

    fn raw_length(&self, rest: &str) -> Result<usize, ExpressionError> {
        let quote = char::from(rest.as_bytes()[0]);
        let end = rest[1..].find([quote, '\n', '\r']);
        let end = end.filter(|end| rest[1 + end..].starts_with(quote));
        end.map(|end| end + 2).ok_or_else(|| self.unterminated())
    }

    fn unterminated(&self) -> ExpressionError {
        ExpressionError::new(
            self.start,
            "expected text that ends on its line, in the quote that it begins with",
        )
    }
}

/// The character that an escape stands for.
fn unescaped(character: char) -> char {
    match character {
        'n' => '\n',
        't' => '\t',
        other => other,
    }
}

fn is_name_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// How many bytes at the beginning are of this kind.
fn span(text: &str, kind: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|byte| kind(*byte)).count()
}
