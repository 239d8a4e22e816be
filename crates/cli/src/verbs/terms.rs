//! An order's exact terms, laid out so that a person can read what they sign.

/// Longest list or object that stays on one line, in characters.
const ONE_LINE: usize = 80;

/// JSON in lines: its characters in their order, with nothing but white space between them. What would steer a terminal is left out.
pub(super) fn laid_out(json: &str) -> Vec<String> {
    let characters: Vec<char> = json.chars().filter(|c| !c.is_control()).collect();
    let mut page = Page { lines: vec![String::new()], depth: 0 };
    let mut text = Text::default();
    let mut one_line_until = None;
    for (at, c) in characters.iter().copied().enumerate() {
        if text.holds(c) {
            page.put(c);
            continue;
        }
        let rest = characters.get(at..).unwrap_or_default();
        match c {
            '{' | '[' if one_line_until.is_none() => match end_of_flat(rest) {
                Some(end) => {
                    one_line_until = Some(at + end);
                    page.put(c);
                }
                None => page.open(c),
            },
            '}' | ']' if one_line_until == Some(at) => {
                one_line_until = None;
                page.put(c);
            }
            '}' | ']' => page.close(c),
            ',' if one_line_until.is_none() => page.next(c),
            ',' | ':' => {
                page.put(c);
                page.put(' ');
            }
            other => page.put(other),
        }
    }
    page.lines
}

struct Page {
    lines: Vec<String>,
    depth: usize,
}

impl Page {
    fn put(&mut self, c: char) {
        if let Some(line) = self.lines.last_mut() {
            line.push(c);
        }
    }

    fn open(&mut self, c: char) {
        self.depth += 1;
        self.next(c);
    }

    fn close(&mut self, c: char) {
        self.depth = self.depth.saturating_sub(1);
        self.lines.push("  ".repeat(self.depth));
        self.put(c);
    }

    fn next(&mut self, c: char) {
        self.put(c);
        self.lines.push("  ".repeat(self.depth));
    }
}

/// Whether a character belongs to a string, its quotes included.
#[derive(Default)]
struct Text {
    open: bool,
    escaped: bool,
}

impl Text {
    fn holds(&mut self, c: char) -> bool {
        let before = self.open;
        match c {
            '"' if !self.escaped => self.open = !self.open,
            _ => {}
        }
        self.escaped = before && c == '\\' && !self.escaped;
        before || self.open
    }
}

/// Where the list or object that begins here ends, if nothing is nested in it and it is short.
fn end_of_flat(characters: &[char]) -> Option<usize> {
    let mut text = Text::default();
    for (at, c) in characters.iter().copied().enumerate().skip(1).take(ONE_LINE) {
        if text.holds(c) {
            continue;
        }
        match c {
            '{' | '[' => return None,
            '}' | ']' => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::Value;

    use super::laid_out;

    #[test]
    fn terms_are_laid_out_and_say_the_same() {
        let terms = r#"{"order":"po-7","units":{"n":5,"of":[]},"graph":[{"from":"a","to":"b"},{"from":"b","to":"c"}],"name":"{\"x\": [1,2]}\\"}"#;
        let lines = laid_out(terms);
        let expected = [
            "{",
            r#"  "order": "po-7","#,
            r#"  "units": {"#,
            r#"    "n": 5,"#,
            r#"    "of": []"#,
            "  },",
            r#"  "graph": ["#,
            r#"    {"from": "a", "to": "b"},"#,
            r#"    {"from": "b", "to": "c"}"#,
            "  ],",
            r#"  "name": "{\"x\": [1,2]}\\""#,
            "}",
        ];
        assert_eq!(lines, expected);
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(read(&lines.concat()), read(terms));
    }

    #[test]
    fn what_is_no_json_is_shown_and_steers_nothing() {
        for text in ["", "}}]", "{\"", "\u{1b}[2J{[", "[[[[", "plain"] {
            let shown = laid_out(text).concat();
            let kept = |text: &str| text.chars().filter(|c| !c.is_control() && *c != ' ').collect::<String>();
            assert_eq!(kept(&shown), kept(text));
            assert!(!shown.contains('\u{1b}'));
        }
    }
}
