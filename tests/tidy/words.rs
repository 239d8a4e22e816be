//! A clone must make sense anywhere: no path of the machine that something was written on.

use crate::tree;

/// Written in two halves, so that this file does not hold them.
const NOWHERE: &[(&str, &str)] = &[
    ("/work/", "main"),
    ("/work/", "shared"),
    ("/work/", ".library"),
    ("../", "shared/"),
    ("/tmp/", "brief"),
    ("/root/", ".cargo"),
    ("/root/", ".pyenv"),
];

#[test]
fn no_file_speaks_of_the_machine_it_was_written_on() {
    let words: Vec<_> = NOWHERE.iter().map(|(head, tail)| format!("{head}{tail}")).collect();
    let mut findings = Vec::new();
    for path in tree::files_under("") {
        let text = tree::read(&path).to_lowercase();
        for word in words.iter().filter(|word| text.contains(*word)) {
            let line = text.lines().position(|line| line.contains(word)).map_or(0, |n| n + 1);
            findings.push(format!("{}:{line}: {word}", path.display()));
        }
    }
    tree::assert_none(&findings, "words that mean nothing to a reader elsewhere:");
}
