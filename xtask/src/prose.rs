//! Tells code that was commented out from prose that merely looks a little like it.
//!
//! Prose ends in a semicolon too, and quotes code. A finding that is wrong costs more trust than one that is
//! missed, so only what nobody would write as a sentence counts as code.

/// Words that begin a line of code which ends in an opening brace.
const OPENERS: &[&str] = &[
    "fn ", "pub ", "async ", "if ", "} else", "else", "for ", "while ", "loop", "match ", "impl",
    "struct ", "enum ", "trait ", "mod ", "unsafe ",
];

/// Whether the text of a comment, without its slashes, is a line of code.
pub(crate) fn looks_like_code(comment: &str) -> bool {
    let body = comment.trim_end_matches([';', '{', '}']).trim_end();
    let begins = |words: &[&str]| words.iter().any(|word| comment.starts_with(word));
    match comment.chars().next_back() {
        Some(';' | '{' | '}')
            if body.trim_matches(['(', ')', '[', ']', '{', '}', ',']).is_empty() =>
        {
            true
        }
        Some(';') => is_statement(body),
        Some('{') => begins(OPENERS) || body.ends_with("=>"),
        Some('}') => begins(&["fn ", "pub fn ", "async fn "]) && body.contains('{'),
        _ => false,
    }
}

fn is_statement(body: &str) -> bool {
    let begins = |words: &[&str]| words.iter().any(|word| body.starts_with(word));
    let left_of = |mark| body.split_once(mark).map_or("", |(left, _)| left);
    if begins(&["let ", "const ", "static "]) {
        return body.contains(" = ");
    }
    if begins(&["use ", "pub use "]) {
        return body.contains("::");
    }
    let is_field = |words: &str| is_path(words) && words.contains('.');
    let assigns_field = [" = ", " += ", " -= "].into_iter().any(|mark| is_field(left_of(mark)));
    let calls = body.ends_with([')', '?']) && is_path(left_of("("));
    let returns = begins(&["return "]) && body.ends_with(')') && !body.contains(" (");
    let awaits = body.ends_with(".await") && !body.contains(' ');
    assigns_field || calls || returns || awaits
}

/// A name, or names joined by dots and colons.
fn is_path(words: &str) -> bool {
    let in_path = |c: char| c.is_alphanumeric() || "_.:!*".contains(c);
    !words.is_empty() && words.chars().all(in_path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_in_comments_is_not_taken_for_code() {
        for prose in [
            "the newest one is taken;",
            "use the newest one;",
            "let it be;",
            "A is B (see `c()`);",
            "the peer closed (RFC 9112, 9.6);",
            "return it to the idle store;",
            "return it (as RFC 9112 wants);",
            "Parts { io, read_buf }",
            "so: `Response { .. }`",
            "opened = idle + leased + closed;",
            "",
        ] {
            assert!(!looks_like_code(prose), "{prose}");
        }
    }

    #[test]
    fn code_in_comments_is_recognised() {
        for code in [
            "use a::b;",
            "let mut a = b.c();",
            "return Ok(a);",
            "self.a = b;",
            "a.b += 1;",
            "a.b(c).await;",
            "a.b(c)?;",
            "a.b().await;",
            "drop(lease);",
            "assert!(a);",
            "if a == b {",
            "} else {",
            "Some(a) => {",
            "});",
            "}",
            "fn a() -> u8 { 1 }",
        ] {
            assert!(looks_like_code(code), "{code}");
        }
    }
}
