//! A network that is cut in two: rules of iptables about loopback addresses, gone when this is dropped.
//!
//! They need the rights of root, and `iptables` of Debian's package of that name. They are about no address but those of
//! one cluster's nodes, so nothing else on the machine meets them.

use std::process::Command;

/// A node that is cut off from the others, with those processes that are on its side.
#[derive(Debug)]
pub struct Partition {
    chain: String,
}

/// The processes on either side, by their groups ([`crate::Installation::start_replica`]).
#[derive(Debug, Clone, Copy)]
pub struct Sides {
    /// The group of those that still reach the node, and none but it.
    pub with_the_node: u32,
    /// The group of those that reach all but the node.
    pub with_the_others: u32,
}

impl Partition {
    /// Cuts the node at this address off from those at the other addresses. Processes of other groups still reach all.
    ///
    /// `name` tells this partition from others of the machine. What is left of one of the same name, whose test
    /// was killed, is taken away.
    pub(crate) fn cut(name: &str, node: &str, others: &[&str], sides: Sides) -> Self {
        let partition = Self {
            chain: format!("countersign-{name}"),
        };
        partition.take_away();
        let chain = partition.chain.as_str();
        must_run(&["-N", chain]);
        let drop = |what: &[&str]| must_run(&[&["-A", chain], what, &["-j", "DROP"]].concat());
        let owner = |group: u32| group.to_string();
        for other in others {
            drop(&["-s", node, "-d", other]);
            drop(&["-s", other, "-d", node]);
            let group = owner(sides.with_the_node);
            drop(&["-d", other, "-m", "owner", "--gid-owner", &group]);
        }
        let group = owner(sides.with_the_others);
        drop(&["-d", node, "-m", "owner", "--gid-owner", &group]);
        // Only now, so that all is cut at once.
        must_run(&["-I", "OUTPUT", "-j", chain]);
        partition
    }

    /// Makes the network whole again.
    pub fn heal(self) {}

    fn take_away(&self) {
        // Each fails where there is nothing to take away.
        run(&["-D", "OUTPUT", "-j", &self.chain]);
        run(&["-F", &self.chain]);
        run(&["-X", &self.chain]);
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        self.take_away();
    }
}

fn must_run(arguments: &[&str]) {
    let said = run(arguments);
    assert_eq!(said, None, "iptables {}", arguments.join(" "));
}

/// What iptables has to say, where it fails.
fn run(arguments: &[&str]) -> Option<String> {
    // Another test may be changing rules at this moment (`-w`).
    let output = Command::new("iptables").arg("-w").args(arguments).output();
    let output = output.expect("`iptables`: install Debian's package iptables");
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}
