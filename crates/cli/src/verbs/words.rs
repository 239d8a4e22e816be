//! Responses for people: indented lists in the order of the proto, and tables.

use serde_json::{Map, Value};

/// A message's fields in their order, which JSON objects do not keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// No object and no array.
    Leaf(Value),
    Items(Vec<Node>),
    Members(Vec<(String, Node)>),
}

impl Node {
    pub(super) fn into_json(self) -> Value {
        match self {
            Self::Leaf(value) => value,
            Self::Items(items) => items.into_iter().map(Self::into_json).collect(),
            Self::Members(members) => {
                Value::Object(members.into_iter().map(|(name, node)| (name, node.into_json())).collect::<Map<_, _>>())
            }
        }
    }

    pub(super) fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Members(members) => members.iter().find(|(known, _)| known == name).map(|(_, node)| node),
            Self::Leaf(_) | Self::Items(_) => None,
        }
    }

    pub(super) fn items(&self) -> &[Self] {
        match self {
            Self::Items(items) => items,
            Self::Leaf(_) | Self::Members(_) => &[],
        }
    }

    /// What is in it, when it is one message in a wrapper.
    pub(super) fn unwrapped(&self) -> &Self {
        match self {
            Self::Members(members) => match members.as_slice() {
                [(_, inner @ Self::Members(_))] => inner,
                _ => self,
            },
            Self::Leaf(_) | Self::Items(_) => self,
        }
    }
}

/// Every member on its line, inner ones indented.
pub(super) fn tree(node: &Node) -> String {
    let mut lines = Vec::new();
    write_tree(node, 0, &mut lines);
    lines.join("\n")
}

/// Rows under a head, in columns as wide as they need. The second of each pair is the path of a member.
pub(super) fn table(columns: &[(&str, &str)], rows: &[Node]) -> String {
    if rows.is_empty() {
        return "none".to_owned();
    }
    let mut cells: Vec<Vec<String>> = vec![columns.iter().map(|(head, _)| (*head).to_owned()).collect()];
    cells.extend(rows.iter().map(|row| columns.iter().map(|(_, path)| cell(row, path)).collect()));
    let width = |column: usize| cells.iter().filter_map(|row| row.get(column)).map(|text| text.chars().count()).max();
    let widths: Vec<usize> = (0..columns.len()).map(|column| width(column).unwrap_or_default()).collect();
    let line = |row: &Vec<String>| {
        let padded = row.iter().zip(&widths).map(|(text, width)| format!("{text:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    cells.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn cell(row: &Node, path: &str) -> String {
    match path.split('.').try_fold(row, |node, name| node.member(name)) {
        Some(Node::Leaf(value)) => plain(value),
        Some(Node::Items(_) | Node::Members(_)) | None => "-".to_owned(),
    }
}

fn write_tree(node: &Node, depth: usize, lines: &mut Vec<String>) {
    let pad = "  ".repeat(depth);
    let members = match node {
        Node::Members(members) => members,
        Node::Leaf(value) => return lines.push(format!("{pad}{}", plain(value))),
        Node::Items(items) => return items.iter().for_each(|item| write_tree(item, depth, lines)),
    };
    for (name, member) in members {
        let name = name.replace('_', " ");
        match member {
            Node::Leaf(value) => lines.push(format!("{pad}{name:<22} {}", plain(value))),
            Node::Members(_) => {
                lines.push(format!("{pad}{name}:"));
                write_tree(member, depth + 1, lines);
            }
            Node::Items(items) if items.is_empty() => lines.push(format!("{pad}{name:<22} none")),
            Node::Items(items) => write_items(&name, items, depth, lines),
        }
    }
}

/// Leaves under each other, messages each with its number.
fn write_items(name: &str, items: &[Node], depth: usize, lines: &mut Vec<String>) {
    let pad = "  ".repeat(depth);
    for (number, item) in items.iter().enumerate() {
        match item {
            Node::Leaf(value) => {
                let name = if number == 0 { name } else { "" };
                lines.push(format!("{pad}{name:<22} {}", plain(value)));
            }
            Node::Items(_) | Node::Members(_) => {
                lines.push(format!("{pad}{name} {}:", number + 1));
                write_tree(item, depth + 1, lines);
            }
        }
    }
}

/// What a service says must not steer the terminal that it is shown on.
fn plain(value: &Value) -> String {
    let text = match value {
        Value::Null => "none".to_owned(),
        Value::Bool(truth) => if *truth { "yes" } else { "no" }.to_owned(),
        Value::String(text) if text.is_empty() => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    let shown = |c: char| if c.is_control() { c.escape_default().collect() } else { String::from(c) };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(value: impl Into<Value>) -> Node {
        Node::Leaf(value.into())
    }

    fn members(members: &[(&str, Node)]) -> Node {
        Node::Members(members.iter().map(|(name, node)| ((*name).to_owned(), node.clone())).collect())
    }

    #[test]
    fn a_table_is_aligned_and_absent_members_are_dashes() {
        let rows =
            [members(&[("a", members(&[("b", leaf("longer"))])), ("n", leaf(7))]), members(&[("a", members(&[]))])];
        assert_eq!(table(&[("A", "a.b"), ("N", "n")], &rows), "A       N\nlonger  7\n-       -");
        assert_eq!(table(&[("A", "a")], &[]), "none");
    }

    #[test]
    fn members_stay_in_their_order_and_lists_stand_under_each_other() {
        let lot =
            members(&[("zeta", leaf(1)), ("alpha", Node::Items(vec![leaf("x"), leaf("y")])), ("empty", leaf(""))]);
        let wrapped = members(&[("lot", lot)]);
        let expected =
            "zeta                   1\nalpha                  x\n                       y\nempty                  none";
        assert_eq!(tree(wrapped.unwrapped()), expected);
    }

    #[test]
    fn nothing_that_a_service_says_steers_the_terminal() {
        assert_eq!(tree(&members(&[("why", leaf("a\u{1b}[2J\nb"))])), "why                    a\\u{1b}[2J\\nb");
    }
}
