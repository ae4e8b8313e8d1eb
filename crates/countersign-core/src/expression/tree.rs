//! An expression as a tree, and that tree as the evaluator of CEL takes it.

use cel::{
    IdedExpr,
    common::ast::{
        CallExpr, ComprehensionExpr, Expr, ListExpr, LiteralValue, SelectExpr, operators,
    },
};

/// A part of an expression.
#[derive(Debug)]
pub(super) struct Node {
    /// Where its own word stands: its operator, its function, its name.
    pub(super) offset: usize,
    pub(super) kind: Kind,
    depth: usize,
}

/// What a part of an expression is.
#[derive(Debug)]
pub(super) enum Kind {
    Literal(LiteralValue),
    /// A variable.
    Name(String),
    /// `of.name`.
    Member(Box<Node>, String),
    List(Vec<Node>),
    /// An operator, by its name in CEL.
    Operator(&'static str, Vec<Node>),
    /// `name(…)` or `target.name(…)`.
    Call {
        name: String,
        target: Option<Box<Node>>,
        arguments: Vec<Node>,
    },
}

impl Node {
    pub(super) fn new(offset: usize, kind: Kind) -> Self {
        let deepest = |nodes: &[Self]| nodes.iter().map(Self::depth).max().unwrap_or(0);
        let below = match &kind {
            Kind::Literal(_) | Kind::Name(_) => 0,
            Kind::Member(of, _) => of.depth,
            Kind::List(nodes) | Kind::Operator(_, nodes) => deepest(nodes),
            Kind::Call {
                target, arguments, ..
            } => {
                let target = target.as_ref().map_or(0, |target| target.depth);
                target.max(deepest(arguments))
            }
        };
        Self {
            offset,
            kind,
            depth: below + 1,
        }
    }

    /// How many levels it has.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// The text, if it is text in quotes.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Literal(LiteralValue::String(text)) => Some(text.inner()),
            _ => None,
        }
    }

    /// The name, if it is a variable.
    pub(super) fn variable(&self) -> Option<&str> {
        match &self.kind {
            Kind::Name(name) => Some(name),
            _ => None,
        }
    }

    /// What the evaluator takes, with CEL's macros expanded.
    /// <https://github.com/google/cel-spec/blob/master/doc/langdef.md#macros>
    pub(super) fn program(&self) -> IdedExpr {
        ided(match &self.kind {
            Kind::Literal(literal) => Expr::Literal(literal.clone()),
            Kind::Name(name) => Expr::Ident(name.clone()),
            Kind::Member(of, name) => member(of, name, Test::No),
            Kind::List(items) => list(programs(items)),
            Kind::Operator(name, operands) => call(name, programs(operands)),
            Kind::Call {
                name,
                target,
                arguments,
            } => called(name, target.as_deref(), arguments),
        })
    }
}

fn programs(nodes: &[Node]) -> Vec<IdedExpr> {
    nodes.iter().map(Node::program).collect()
}

fn called(name: &str, target: Option<&Node>, arguments: &[Node]) -> Expr {
    if let (
        "has",
        None,
        [
            Node {
                kind: Kind::Member(of, name),
                ..
            },
        ],
    ) = (name, target, arguments)
    {
        return member(of, name, Test::Yes);
    }
    if let (Some(of), [item, test]) = (target, arguments)
        && let (Some(item), Some(each)) = (item.variable(), Each::named(name))
    {
        return each.expand(of, item, test);
    }
    Expr::Call(CallExpr {
        func_name: name.to_owned(),
        target: target.map(|target| Box::new(target.program())),
        args: programs(arguments),
    })
}

/// Whether a member is only tested for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    Yes,
    No,
}

fn member(of: &Node, name: &str, test: Test) -> Expr {
    Expr::Select(SelectExpr {
        operand: Box::new(of.program()),
        field: name.to_owned(),
        test: test == Test::Yes,
    })
}

/// A macro that goes through a list.
#[derive(Debug, Clone, Copy)]
enum Each {
    Exists,
    All,
    ExistsOne,
    Filter,
}

/// What is known so far while a list is gone through. The name can't be written in an expression.
const SO_FAR: &str = "@result";

impl Each {
    fn named(name: &str) -> Option<Self> {
        match name {
            "exists" => Some(Self::Exists),
            "all" => Some(Self::All),
            "exists_one" => Some(Self::ExistsOne),
            "filter" => Some(Self::Filter),
            _ => None,
        }
    }

    /// As CEL's own parser expands it: the evaluator recognises these forms.
    fn expand(self, of: &Node, item: &str, test: &Node) -> Expr {
        let test = test.program();
        let (start, go_on, step, result) = match self {
            Self::Exists => {
                let undecided = ided(call(operators::LOGICAL_NOT, vec![so_far()]));
                let go_on = call(operators::NOT_STRICTLY_FALSE, vec![undecided]);
                let step = call(operators::LOGICAL_OR, vec![so_far(), test]);
                (boolean(false), ided(go_on), step, so_far())
            }
            Self::All => {
                let go_on = call(operators::NOT_STRICTLY_FALSE, vec![so_far()]);
                let step = call(operators::LOGICAL_AND, vec![so_far(), test]);
                (boolean(true), ided(go_on), step, so_far())
            }
            Self::ExistsOne => {
                let more = ided(call(operators::ADD, vec![so_far(), int(1)]));
                let step = call(operators::CONDITIONAL, vec![test, more, so_far()]);
                let one = ided(call(operators::EQUALS, vec![so_far(), int(1)]));
                (int(0), boolean(true), step, one)
            }
            Self::Filter => {
                let item = ided(list(vec![ided(Expr::Ident(item.to_owned()))]));
                let more = ided(call(operators::ADD, vec![so_far(), item]));
                let step = call(operators::CONDITIONAL, vec![test, more, so_far()]);
                (ided(list(Vec::new())), boolean(true), step, so_far())
            }
        };
        Expr::Comprehension(Box::new(ComprehensionExpr {
            iter_range: of.program(),
            iter_var: item.to_owned(),
            iter_var2: None,
            accu_var: SO_FAR.to_owned(),
            accu_init: start,
            loop_cond: go_on,
            loop_step: ided(step),
            result,
        }))
    }
}

fn so_far() -> IdedExpr {
    ided(Expr::Ident(SO_FAR.to_owned()))
}

fn boolean(value: bool) -> IdedExpr {
    ided(Expr::Literal(LiteralValue::Boolean(value.into())))
}

fn int(value: i64) -> IdedExpr {
    ided(Expr::Literal(LiteralValue::Int(value.into())))
}

fn list(items: Vec<IdedExpr>) -> Expr {
    Expr::List(ListExpr::new(items))
}

fn call(name: &str, arguments: Vec<IdedExpr>) -> Expr {
    Expr::Call(CallExpr {
        func_name: name.to_owned(),
        target: None,
        args: arguments,
    })
}

/// The ids are for places, which the tree has; the evaluator does not look at them.
fn ided(expr: Expr) -> IdedExpr {
    IdedExpr { id: 0, expr }
}
