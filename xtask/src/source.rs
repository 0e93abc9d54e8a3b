//! A Rust file seen three ways: its code, its comments, and its code with literals.
//!
//! The rules of `tidy` are about words, and a word means something else in a comment or in a string than in
//! code. This is the smallest lexer that tells the three apart; so the rules may name in a string what they
//! forbid, and need no exception for themselves. Every view keeps the line numbers of the file.

/// A file, taken apart.
pub(crate) struct Source {
    code: String,
    live: String,
    comments: String,
    in_tests: Vec<bool>,
}

/// One line, in every view.
pub(crate) struct Line<'a> {
    /// Counted from one, as editors do.
    pub(crate) number: usize,
    /// Without comments and without what stands in quotes.
    pub(crate) code: &'a str,
    /// Without comments.
    pub(crate) live: &'a str,
    /// The comment alone, with its slashes.
    pub(crate) comment: &'a str,
    /// Whether the line belongs to an item under `#[cfg(test)]`.
    pub(crate) in_tests: bool,
}

impl Source {
    pub(crate) fn new(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let kinds = classify(&chars);
        let view = |keep: &[Kind]| -> String {
            let masked = |(&c, kind): (&char, &Kind)| {
                if keep.contains(kind) || c == '\n' { c } else { ' ' }
            };
            chars.iter().zip(&kinds).map(masked).collect()
        };
        let code = view(&[Kind::Code]);
        Self {
            in_tests: test_lines(&code),
            live: view(&[Kind::Code, Kind::Literal]),
            comments: view(&[Kind::Comment]),
            code,
        }
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let views = self.code.lines().zip(self.live.lines()).zip(self.comments.lines());
        views.zip(&self.in_tests).enumerate().map(
            |(index, (((code, live), comment), &in_tests))| Line {
                number: index + 1,
                code: code.trim(),
                live: live.trim(),
                comment: comment.trim(),
                in_tests,
            },
        )
    }

    /// Every outer and inner attribute: the line it begins on, and its code up to the closing bracket.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = (usize, &str)> {
        attributes(&self.code)
            .map(|(start, end)| (line_of(&self.code, start), &self.code[start..end]))
    }
}

/// Whether `text` contains `word` and not merely a longer identifier around it.
pub(crate) fn has_word(text: &str, word: &str) -> bool {
    let joins = |edge: Option<char>, beyond: Option<char>| {
        edge.is_some_and(in_name) && beyond.is_some_and(in_name)
    };
    text.match_indices(word).any(|(at, _)| {
        !joins(word.chars().next(), text[..at].chars().next_back())
            && !joins(word.chars().next_back(), text[at + word.len()..].chars().next())
    })
}

fn in_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Code,
    Literal,
    Comment,
}

fn classify(chars: &[char]) -> Vec<Kind> {
    let mut kinds = Vec::with_capacity(chars.len());
    while kinds.len() < chars.len() {
        let rest = &chars[kinds.len()..];
        let (kind, length) = token(rest);
        kinds.resize(kinds.len() + length.min(rest.len()), kind);
    }
    kinds
}

/// The kind and the length of what `rest` begins with.
fn token(rest: &[char]) -> (Kind, usize) {
    match rest {
        ['/', '/', ..] => (Kind::Comment, rest.iter().take_while(|&&c| c != '\n').count()),
        ['/', '*', ..] => (Kind::Comment, block_comment(rest)),
        ['"', ..] => (Kind::Literal, quoted(rest)),
        // Since edition 2021 an `r` before a quote can be nothing but a raw string; `r#name` has no quote.
        ['r', after @ ..] => match after.iter().take_while(|&&c| c == '#').count() {
            hashes if after.get(hashes) == Some(&'"') => (Kind::Literal, raw_string(rest, hashes)),
            _ => (Kind::Code, 1),
        },
        ['\'', '\\', _, after @ ..] => {
            (Kind::Literal, 4 + after.iter().take_while(|&&c| c != '\'').count())
        }
        ['\'', _, '\'', ..] => (Kind::Literal, 3),
        _ => (Kind::Code, 1),
    }
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn raw_string(rest: &[char], hashes: usize) -> usize {
    let body = 2 + hashes;
    let closes = |at: &usize| {
        rest[*at] == '"' && rest[*at + 1..].iter().take_while(|&&c| c == '#').count() >= hashes
    };
    (body..rest.len()).find(closes).map_or(rest.len(), |at| at + 1 + hashes)
}

/// For every line, whether it belongs to an item under `#[cfg(test)]`.
fn test_lines(code: &str) -> Vec<bool> {
    let mut lines = vec![false; code.lines().count()];
    for (start, end) in attributes(code) {
        let attribute = &code[start..end];
        if attribute.starts_with("#[cfg(")
            && has_word(attribute, "test")
            && !attribute.contains("not(test")
        {
            let last = line_of(code, end + item(&code[end..]));
            lines[line_of(code, start) - 1..last].fill(true);
        }
    }
    lines
}

/// The length of the item that `code` begins with: up to its semicolon or its closing brace.
fn item(code: &str) -> usize {
    let mut depth = 0_i32;
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth < 0 || depth == 0 && matches!(c, ';' | '}') {
            return at;
        }
    }
    code.len()
}

/// Where each attribute starts and ends.
fn attributes(code: &str) -> impl Iterator<Item = (usize, usize)> {
    code.match_indices('#').filter_map(|(start, _)| {
        let bracket = start + code[start..].find('[')?;
        let opens = matches!(&code[start..bracket], "#" | "#!");
        opens.then(|| (start, bracket + closing_bracket(&code[bracket..])))
    })
}

fn closing_bracket(code: &str) -> usize {
    let mut depth = 0_i32;
    for (at, c) in code.char_indices() {
        depth += i32::from(c == '[') - i32::from(c == ']');
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

fn line_of(code: &str, offset: usize) -> usize {
    let before = &code.as_bytes()[..offset.min(code.len().saturating_sub(1))];
    before.iter().filter(|&&byte| byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_of(text: &str) -> String {
        Source::new(text).code
    }

    #[test]
    fn comments_are_not_code() {
        assert_eq!(code_of("a // b\nc"), "a     \nc");
        assert_eq!(code_of("a/*b/*c*/d*/e"), "a           e");
    }

    #[test]
    fn what_stands_in_quotes_is_not_code() {
        assert_eq!(code_of(r#"f("a\"//b")"#), "f(        )");
        assert_eq!(code_of("f(r#\"a\"b\"#)"), "f(        )");
        assert_eq!(code_of(r"f('\'', '{')"), "f(    ,    )");
    }

    #[test]
    fn a_lifetime_and_a_raw_identifier_are_code() {
        let text = "fn f<'a>(x: &'a str) -> &'a str { r#x }";
        assert_eq!(code_of(text), text);
    }

    #[test]
    fn a_comment_in_a_string_is_kept_in_the_live_view() {
        let source = Source::new("let url = \"http://a\"; // b");
        let line = source.lines().next().expect("one line");
        assert_eq!((line.live, line.comment), ("let url = \"http://a\";", "// b"));
    }

    #[test]
    fn an_item_under_cfg_test_ends_where_its_braces_do() {
        let source = Source::new("fn a() {}\n#[cfg(test)]\nmod t {\n    fn b() {}\n}\nfn c() {}\n");
        let in_tests: Vec<_> = source.lines().map(|line| line.in_tests).collect();
        assert_eq!(in_tests, [false, true, true, true, true, false]);
    }

    #[test]
    fn an_import_under_cfg_test_ends_at_its_semicolon() {
        assert_eq!(Source::new("#[cfg(test)]\nuse a::b;\nfn c() {}").in_tests, [true, true, false]);
    }

    #[test]
    fn an_item_under_cfg_not_test_is_no_test() {
        assert_eq!(Source::new("#[cfg(not(test))]\nfn a() {}").in_tests, [false, false]);
    }

    #[test]
    fn an_attribute_may_span_lines() {
        let source =
            Source::new("fn a() {}\n#[allow(\n    dead_code,\n    reason = \"b\"\n)]\nfn c() {}");
        let attributes: Vec<_> = source.attributes().collect();
        assert_eq!(attributes.len(), 1);
        assert_eq!(attributes[0].0, 2);
        assert!(attributes[0].1.ends_with(")]"));
    }

    #[test]
    fn a_word_is_not_part_of_a_longer_one() {
        assert!(has_word("unsafe { }", "unsafe"));
        assert!(!has_word("unsafe_code", "unsafe"));
        assert!(has_word("tokio::time::sleep(d)", "sleep("));
        assert!(!has_word("no_sleep(d)", "sleep("));
    }
}
