//! Text from others must not command the terminal, nor pretend to be somebody else's line.

/// `text` on one line, without control characters, escape sequences (ECMA-48), direction overrides and other characters
/// that are seen by nobody.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\x1b' => skip_escape(&mut rest),
            '\u{9b}' => skip_control_sequence(&mut rest),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => skip_string(&mut rest),
            '\n' | '\t' | '\u{2028}' | '\u{2029}' => out.push(' '),
            c if c.is_control() || is_unseen(c) => {}
            c => out.push(c),
        }
    }
    out
}

/// The same with its lines kept; all but the first are indented, so that none looks like a message of its own.
pub(crate) fn printable_lines(text: &str) -> String {
    text.trim_end().split('\n').map(printable).collect::<Vec<_>>().join("\n    ")
}

/// After ESC: a sequence of one of several kinds.
fn skip_escape(rest: &mut core::str::Chars<'_>) {
    match rest.next() {
        Some('[') => skip_control_sequence(rest),
        Some(']' | 'P' | 'X' | '^' | '_') => skip_string(rest),
        Some(' '..='/') => {
            rest.find(|c| !matches!(c, ' '..='/'));
        }
        _ => {}
    }
}

/// Parameters and intermediates up to one final byte.
fn skip_control_sequence(rest: &mut core::str::Chars<'_>) {
    rest.find(|c| !matches!(c, ' '..='?'));
}

/// A title, a device control or the like, up to its terminator.
fn skip_string(rest: &mut core::str::Chars<'_>) {
    while let Some(c) = rest.next() {
        match c {
            '\x07' | '\u{9c}' => return,
            '\x1b' => {
                rest.next();
                return;
            }
            _ => {}
        }
    }
}

fn is_unseen(c: char) -> bool {
    // The joiners U+200C and U+200D stay: scripts and emoji need them.
    matches!(c,
        '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escape_sequences_vanish_whole() {
        for evil in [
            "a\x1b[31mb",
            "a\x1b[2J\x1b[1;1Hb",
            "a\x1b]0;title\x07b",
            "a\x1b]8;;http://evil.example\x1b\\b",
            "a\x1bP1$q\x1b\\b",
            "a\u{9b}31mb",
            "a\u{9d}52;c;AAAA\u{9c}b",
            "a\x1b(0b",
            "a\x1bcb",
            "a\x08\x7f\0b",
        ] {
            assert_eq!(printable(evil), "ab", "{evil:?}");
        }
    }

    #[test]
    fn direction_cannot_be_overridden() {
        assert_eq!(printable("a\u{202e}gpj.exe\u{2066}\u{200f}b"), "agpj.exeb");
        assert_eq!(printable("\u{200b}\u{feff}\u{e0041}x"), "x");
    }

    #[test]
    fn scripts_and_emoji_stay() {
        for good in ["õäöü", "سلام", "नमस्ते", "👩\u{200d}🚀", "می\u{200c}خواهم"] {
            assert_eq!(printable(good), good);
        }
    }

    #[test]
    fn a_line_cannot_be_forged() {
        assert_eq!(printable("x\n2026-11-21 14:03 bob: y"), "x 2026-11-21 14:03 bob: y");
        assert_eq!(printable_lines("x\r\nbob: y\n"), "x\n    bob: y");
        assert_eq!(printable_lines("x\u{2028}bob: y"), "x bob: y");
    }

    proptest! {
        #[test]
        fn nothing_that_commands_a_terminal_is_left(text in r"(\PC|[\x00-\x1f]|[\u{7f}-\u{9f}]|[\u{2000}-\u{206f}]){0,64}") {
            let clean = printable(&text);
            prop_assert!(!clean.chars().any(|c| c.is_control() || is_unseen(c)));
            prop_assert_eq!(printable(&clean), clean);
        }
    }
}
