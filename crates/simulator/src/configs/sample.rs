//! A commented TOML file into which other values are put: comments and order stay as they are.

use anyhow::Context as _;

/// The lines of a sample.
pub(super) struct Sample(Vec<String>);

/// One entry of an array of tables, such as `[[peers]]`, with its header.
pub(super) struct Entry(Vec<String>);

impl Sample {
    pub(super) fn new(text: &str) -> Self {
        Self(text.lines().map(str::to_owned).collect())
    }

    pub(super) fn into_text(self) -> String {
        let mut text = self.0.join("\n");
        text.push('\n');
        text
    }

    /// Gives an option of a table another value; `""` is the table at the top.
    pub(super) fn set(&mut self, table: &str, option: &str, value: &str) -> anyhow::Result<()> {
        let mut current = "";
        for line in &mut self.0 {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                current = if name == table { table } else { "(another)" };
                continue;
            }
            if current == table && names(line, option) {
                *line = with_value(line, option, value);
                return Ok(());
            }
        }
        anyhow::bail!("the sample has no option {option} in [{table}]")
    }

    /// Has one entry of the array of tables for each item, made from its first one.
    pub(super) fn set_entries<T>(
        &mut self,
        array: &str,
        items: &[T],
        fill: impl Fn(&mut Entry, &T) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let header = format!("[[{array}]]");
        let first = self.0.iter().position(|line| *line == header).with_context(|| format!("no {header}"))?;
        let template = self.take_block(first);
        while let Some(next) = self.0.iter().position(|line| *line == header) {
            let _ = self.take_block(next);
        }
        let mut lines = Vec::new();
        for item in items {
            let mut entry = Entry(template.clone());
            fill(&mut entry, item)?;
            lines.extend(entry.0);
            lines.push(String::new());
        }
        self.0.splice(first..first, lines);
        Ok(())
    }

    /// Switches a table on that is off by default: its header and its options stand behind a "#".
    pub(super) fn switch_on(&mut self, table: &str) -> anyhow::Result<()> {
        let header = format!("#[{table}]");
        let first = self.0.iter().position(|line| *line == header).with_context(|| format!("no {header}"))?;
        for line in self.0.iter_mut().skip(first).take_while(|line| !line.is_empty()) {
            if let Some(option) = line.strip_prefix('#') {
                *line = option.to_owned();
            }
        }
        Ok(())
    }

    /// Takes a table out, with the comment above it.
    pub(super) fn remove_table(&mut self, table: &str) -> anyhow::Result<()> {
        let header = format!("[{table}]");
        let mut first = self.0.iter().position(|line| *line == header).with_context(|| format!("no {header}"))?;
        while let Some(above) =
            first.checked_sub(1).filter(|above| self.0.get(*above).is_some_and(|l| l.starts_with('#')))
        {
            first = above;
        }
        let _ = self.take_block(first);
        Ok(())
    }

    /// Replaces the first line that begins so.
    pub(super) fn replace_line(&mut self, begins: &str, line: &str) -> Option<()> {
        let found = self.0.iter_mut().find(|l| l.starts_with(begins))?;
        line.clone_into(found);
        Some(())
    }

    /// Puts another name into the comments.
    pub(super) fn replace_words(&mut self, from: &str, to: &str) {
        for line in self.0.iter_mut().filter(|line| line.starts_with('#')) {
            *line = line.replace(from, to);
        }
    }

    /// The lines up to the next empty one, which goes as well.
    fn take_block(&mut self, first: usize) -> Vec<String> {
        let length = self.0.iter().skip(first).position(String::is_empty);
        let last = length.map_or(self.0.len(), |length| first + length);
        let block = self.0.drain(first..last).collect();
        if length.is_some() {
            let _ = self.0.remove(first);
        }
        block
    }
}

impl Entry {
    pub(super) fn set(&mut self, option: &str, value: &str) -> anyhow::Result<()> {
        let line = self.0.iter_mut().find(|line| names(line, option)).with_context(|| format!("no option {option}"))?;
        *line = with_value(line, option, value);
        Ok(())
    }

    /// The same with another comment.
    pub(super) fn set_with_words(&mut self, option: &str, value: &str, words: &str) -> anyhow::Result<()> {
        self.set(option, value)?;
        let line = self.0.iter_mut().find(|line| names(line, option)).with_context(|| format!("no option {option}"))?;
        *line = format!("{option} = {value}   # {words}");
        Ok(())
    }
}

/// A TOML string. Ids, addresses and file names need no escapes beyond these two.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn names(line: &str, option: &str) -> bool {
    line.strip_prefix(option).is_some_and(|rest| rest.trim_start().starts_with('='))
}

/// The line with another value; its comment stays, in its column where there is room.
fn with_value(line: &str, option: &str, value: &str) -> String {
    let short = format!("{option} = {value}");
    // No value of ours has a number sign.
    match line.find(" #") {
        Some(at) => {
            let comment = line.get(at..).unwrap_or_default().trim_start();
            format!("{short:<width$}{comment}", width = (at + 1).max(short.chars().count() + 1))
        }
        None => short,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TEXT: &str = "# head\nname = \"a\"    # who\n\n[one]\nname = \"b\"\n\n# of two\n[two]\nname = \"c\"\n\n[[many]]\nid = 1   # its id\n\n[[many]]\nid = 2\n\n[last]\nid = 3\n";

    #[test]
    fn values_change_and_comments_stay() {
        let mut sample = Sample::new(TEXT);
        sample.set("", "name", &quoted("z")).unwrap();
        sample.set("two", "name", &quoted("longer \"x\"")).unwrap();
        sample.set_entries("many", &[7, 8, 9], |entry, id| entry.set("id", &id.to_string())).unwrap();
        let text = sample.into_text();
        assert_eq!(
            text,
            "# head\nname = \"z\"    # who\n\n[one]\nname = \"b\"\n\n# of two\n[two]\nname = \"longer \\\"x\\\"\"\n\n[[many]]\nid = 7   # its id\n\n[[many]]\nid = 8   # its id\n\n[[many]]\nid = 9   # its id\n\n[last]\nid = 3\n"
        );
    }

    #[test]
    fn a_table_goes_with_its_comment() {
        let mut sample = Sample::new(TEXT);
        sample.remove_table("two").unwrap();
        assert!(!sample.into_text().contains("two"));
    }

    #[test]
    fn a_table_that_is_off_is_switched_on_with_its_options() {
        let mut sample = Sample::new("# of it\n#[off]\n#name = \"a\"   # who\n\n#[other]\n");
        sample.switch_on("off").unwrap();
        sample.set("off", "name", &quoted("b")).unwrap();
        assert!(sample.switch_on("neither").is_err());
        assert_eq!(sample.into_text(), "# of it\n[off]\nname = \"b\"   # who\n\n#[other]\n");
    }

    #[test]
    fn what_the_sample_does_not_have_is_an_error() {
        let mut sample = Sample::new(TEXT);
        assert!(sample.set("one", "id", "1").is_err());
        assert!(sample.set_entries("few", &[1], |entry, id| entry.set("id", &id.to_string())).is_err());
        assert!(sample.remove_table("three").is_err());
    }
}
