//! `keyward completions`.

use crate::support::Home;

#[test]
fn a_shell_completes_commands_and_flags() {
    let home = Home::new();
    home.write("keyward.bash", &home.run(&["completions", "bash"]).ok());
    let complete = |line: &str| {
        let words = line.split(' ').map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        let script = format!(
            "source ./keyward.bash; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _keyward keyward \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; echo \"${{COMPREPLY[@]}}\""
        );
        home.tool("bash", &["-c", &script])
    };
    assert_eq!(complete("keyward ser"), "serve service-accounts\n");
    assert!(complete("keyward keys re").contains("rename revoke"));
    assert_eq!(complete("keyward keys revoke --casc"), "--cascade\n");
    for (shell, sign) in [
        ("zsh", "#compdef keyward"),
        ("fish", "complete -c keyward"),
        ("powershell", "Register-ArgumentCompleter"),
        ("elvish", "edit:completion:arg-completer[keyward]"),
    ] {
        assert!(home.run(&["completions", shell]).ok().contains(sign), "{shell}");
    }
}
