//! The names in an expression: which it may use, which claims it reads.
//!
//! CEL's evaluator would find an undeclared name only while it evaluates, and only where it comes by.

use std::collections::{BTreeMap, BTreeSet};

use cel::common::ast::operators;
use regex::{Regex, RegexBuilder};

use super::{
    ExpressionError, personal,
    tree::{Kind, Node},
};
use crate::document::did_you_mean;

/// What a compiled pattern may take, in bytes: `\w{200}` fits, `\w{2000}` does not.
const MAX_PATTERN_BYTES: usize = 256 * 1024;

const USER_MEMBERS: [&str; 4] = ["provider", "tenant", "guest", "email_verified"];

/// How each function is written. CEL has more; these say something of a login, and yield the same
/// each time (the members of a map have no order, so what would list them is left out).
const FUNCTIONS: [(&str, &str); 14] = [
    ("has", "has(claims.acr)"),
    ("size", "size(claims.amr)"),
    ("startsWith", "text.startsWith(\"…\")"),
    ("endsWith", "text.endsWith(\"…\")"),
    ("contains", "text.contains(\"…\")"),
    ("matches", "text.matches(r'…')"),
    ("exists", "list.exists(item, …)"),
    ("all", "list.all(item, …)"),
    ("exists_one", "list.exists_one(item, …)"),
    ("filter", "size(list.filter(item, …))"),
    ("int", "int(value)"),
    ("double", "double(value)"),
    ("string", "string(value)"),
    ("bool", "bool(value)"),
];

/// What an expression names.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) claims: BTreeSet<String>,
    pub(super) reads_user: bool,
    /// Text that stands in the expression, for the trial to try as a tenant or a provider.
    pub(super) literals: BTreeSet<String>,
    pub(super) patterns: BTreeMap<String, Regex>,
}

/// Finds what an expression names, and that it may.
pub(super) fn check(root: &Node) -> Result<Names, ExpressionError> {
    let mut walk = Walk::default();
    walk.node(root)?;
    if walk.names.claims.is_empty() {
        return Err(ExpressionError::new(
            0,
            "expected at least one claim, as in `claims.acr`: without one it says nothing of the login",
        ));
    }
    Ok(walk.names)
}

#[derive(Debug, Default)]
struct Walk<'t> {
    /// The variable of the `exists` (or its like) that surrounds this part. One at a time.
    item: Option<&'t str>,
    names: Names,
}

type Checked = Result<(), ExpressionError>;

impl<'t> Walk<'t> {
    fn node(&mut self, node: &'t Node) -> Checked {
        match &node.kind {
            Kind::Literal(_) => {
                let text = node.text().map(str::to_owned);
                self.names.literals.extend(text);
                Ok(())
            }
            Kind::Name(name) => self.variable(node, name),
            Kind::Member(of, name) => self.member(of, name, node.offset),
            Kind::List(items) => self.nodes(items),
            Kind::Operator(name, operands) => self.operator(name, operands),
            Kind::Call {
                name,
                target,
                arguments,
            } => self.call(node, name, target.as_deref(), arguments),
        }
    }

    fn nodes(&mut self, nodes: &'t [Node]) -> Checked {
        nodes.iter().try_for_each(|node| self.node(node))
    }

    /// A name that stands alone: only the item of a list does.
    fn variable(&self, node: &Node, name: &str) -> Checked {
        let message = match name {
            _ if self.item == Some(name) => return Ok(()),
            "claims" => "expected one claim by its name, as in `claims.acr` or `claims[\"acr\"]`, \
                         found all of them"
                .to_owned(),
            "user" => format!("expected one of {}", quoted(USER_MEMBERS, "user.")),
            _ => {
                let known = ["claims", "user"].into_iter().chain(self.item);
                let hint = did_you_mean(name, known);
                format!(
                    "`{name}` is not known{hint} (known are `claims` and `user`; text stands in quotes)"
                )
            }
        };
        Err(error(node, message))
    }

    /// `of.name` or `of["name"]`.
    fn member(&mut self, of: &'t Node, name: &str, offset: usize) -> Checked {
        match of.variable() {
            Some("claims") => self.claim(name, offset),
            Some("user") => {
                self.names.reads_user = true;
                user_member(name, offset)
            }
            _ => {
                impersonal(name, offset)?;
                self.node(of)
            }
        }
    }

    /// What is done for each item of a list must not grow with another claim: both are a stranger's.
    fn claim(&mut self, name: &str, offset: usize) -> Checked {
        impersonal(name, offset)?;
        if name == "acrs" {
            return Err(ExpressionError::new(
                offset,
                "`acrs` is the word of one tenant's admin, and anybody can have a tenant: name the tenant in \
                 `[proof.NAME.tenant.\"ID\"]`, which is where `acrs` counts",
            ));
        }
        if let Some(item) = self.item {
            return Err(ExpressionError::new(
                offset,
                format!(
                    "expected `{item}`, `user` or what stands here, found a claim: each item would go through it"
                ),
            ));
        }
        self.names.claims.insert(name.to_owned());
        Ok(())
    }

    fn operator(&mut self, name: &str, operands: &'t [Node]) -> Checked {
        match (name, operands) {
            (operators::INDEX, [of, index]) => self.index(of, index),
            // `"acr" in claims`.
            (operators::IN, [item, of]) if of.variable() == Some("claims") => match item.text() {
                Some(name) => self.claim(name, item.offset),
                None => self.node(of),
            },
            _ => self.nodes(operands),
        }
    }

    fn index(&mut self, of: &'t Node, index: &'t Node) -> Checked {
        match (of.variable(), index.text()) {
            (_, Some(name)) => self.member(of, name, index.offset),
            (Some(root @ ("claims" | "user")), None) => Err(error(
                index,
                format!(
                    "expected a name in quotes, as in `{root}[\"…\"]`: which are read must be known beforehand"
                ),
            )),
            (_, None) => {
                self.node(of)?;
                self.node(index)
            }
        }
    }

    fn call(
        &mut self,
        node: &'t Node,
        name: &str,
        target: Option<&'t Node>,
        arguments: &'t [Node],
    ) -> Checked {
        match (name, target, arguments) {
            ("has", None, [member]) => self.has(member),
            ("size", None, [of]) | ("size", Some(of), []) => self.size(of),
            ("int" | "double" | "string" | "bool", None, [value]) => self.node(value),
            ("startsWith" | "endsWith" | "contains", Some(text), [part]) => {
                self.node(text)?;
                self.node(part)
            }
            ("matches", Some(text), [pattern]) => {
                self.node(text)?;
                self.pattern(pattern)
            }
            ("exists" | "all" | "exists_one", Some(list), [item, test]) => {
                self.each(node, list, item, test)
            }
            _ => Err(unknown_function(node, name)),
        }
    }

    fn has(&mut self, member: &'t Node) -> Checked {
        match &member.kind {
            Kind::Member(..) => self.node(member),
            _ => Err(error(
                member,
                "expected a member, as in `has(claims.acr)`; one whose name is no word is written \
                 `\"…\" in claims`",
            )),
        }
    }

    /// `filter` yields a list, of which only the length says something that is the same each time.
    fn size(&mut self, of: &'t Node) -> Checked {
        if let Kind::Call {
            name,
            target: Some(list),
            arguments,
        } = &of.kind
            && let ("filter", [item, test]) = (name.as_str(), arguments.as_slice())
        {
            return self.each(of, list, item, test);
        }
        self.node(of)
    }

    /// `list.exists(item, test)` and its like. One within another would multiply what they cost.
    fn each(&mut self, node: &Node, list: &'t Node, item: &'t Node, test: &'t Node) -> Checked {
        if self.item.is_some() {
            return Err(error(
                node,
                "expected no `exists`, `all` or `filter` within another",
            ));
        }
        self.node(list)?;
        let name = item
            .variable()
            .filter(|name| !["claims", "user"].contains(name));
        if name.is_none() {
            return Err(error(
                item,
                "expected a new name for each item, such as `item`",
            ));
        }
        self.item = name;
        let checked = self.node(test);
        self.item = None;
        checked
    }

    fn pattern(&mut self, pattern: &Node) -> Checked {
        let Some(text) = pattern.text() else {
            return Err(error(
                pattern,
                "expected a pattern in quotes, as in `matches(r'^urn:')`",
            ));
        };
        let compiled = RegexBuilder::new(text)
            .size_limit(MAX_PATTERN_BYTES)
            .dfa_size_limit(MAX_PATTERN_BYTES)
            .build();
        let compiled = compiled.map_err(|fault| error(pattern, pattern_fault(&fault)))?;
        self.names.patterns.insert(text.to_owned(), compiled);
        Ok(())
    }
}

fn error(node: &Node, message: impl Into<String>) -> ExpressionError {
    ExpressionError::new(node.offset, message)
}

fn impersonal(name: &str, offset: usize) -> Checked {
    let message = match name {
        "email_verified" => {
            "expected `user.email_verified`: a provider's own word counts only where it is \
                             trusted"
                .to_owned()
        }
        _ if personal::is_personal(name) => {
            format!("`{name}` is personal data, which is not kept and can't be a proof")
        }
        _ => return Ok(()),
    };
    Err(ExpressionError::new(offset, message))
}

fn user_member(name: &str, offset: usize) -> Checked {
    if USER_MEMBERS.contains(&name) {
        return Ok(());
    }
    let hint = did_you_mean(name, USER_MEMBERS);
    let known = quoted(USER_MEMBERS, "user.");
    Err(ExpressionError::new(
        offset,
        format!("`user.{name}` is not known{hint} (known are {known})"),
    ))
}

fn unknown_function(node: &Node, name: &str) -> ExpressionError {
    if let Some((_, form)) = FUNCTIONS.iter().find(|(known, _)| *known == name) {
        return error(node, format!("`{name}` is written `{form}`"));
    }
    let known = FUNCTIONS.map(|(known, _)| known);
    let hint = did_you_mean(name, known);
    let known = quoted(known, "");
    error(
        node,
        format!("the function `{name}` is not known{hint} (known are {known})"),
    )
}

fn pattern_fault(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => {
            "expected a smaller pattern; repeat less, or name fewer kinds of letters".to_owned()
        }
        // The last line says what is wrong; those before draw a picture of it.
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            let why = last.strip_prefix("error: ").unwrap_or(last);
            format!("expected a regular expression: {why}")
        }
    }
}

fn quoted<'a>(names: impl IntoIterator<Item = &'a str>, prefix: &str) -> String {
    let names = names.into_iter().map(|name| format!("`{prefix}{name}`"));
    names.collect::<Vec<String>>().join(", ")
}
