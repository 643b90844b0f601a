"""`devenv completion`: the scripts by which shells run `devenv __complete` at every TAB."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from devenv.cli import options

BASH = r"""
# devenv: eval "$(devenv completion bash)" in ~/.bashrc
_devenv() {
    local word
    COMPREPLY=()
    while IFS= read -r word; do
        if [ "$word" = :file ]; then
            compopt -o filenames 2>/dev/null
            while IFS= read -r word; do
                COMPREPLY+=("$word")
            done < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]#=}")
        elif [ -n "$word" ]; then
            printf -v word %q "${word%%$'\t'*}"
            COMPREPLY+=("$word")
        fi
    done < <(command "${1/#\~/$HOME}" __complete bash "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _devenv devenv devenv-compose
"""
ZSH = r"""
#compdef devenv devenv-compose
# devenv: eval "$(devenv completion zsh)" in ~/.zshrc after compinit, or as a file _devenv in a folder of $fpath
_devenv() {
    local line
    local -a found
    for line in "${(@f)$(command ${~words[1]} __complete zsh "${(@Q)words[2,CURRENT]}" 2>/dev/null)}"; do
        if [[ $line == :file ]]; then
            _files
        elif [[ -n $line ]]; then
            found+=("${${line//:/\\:}/$'\t'/:}")
        fi
    done
    (( ${#found} )) && _describe devenv found
}
if [[ $funcstack[1] == _devenv ]]; then _devenv "$@"; else compdef _devenv devenv devenv-compose; fi
"""
FISH = r"""
# devenv: devenv completion fish > ~/.config/fish/completions/devenv.fish
function __devenv_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in (command $words[1] __complete fish $words[2..-1] "$current" 2>/dev/null)
        if test "$line" = :file
            __fish_complete_path "$current"
        else if test -n "$line"
            echo $line
        end
    end
end
complete -c devenv -f -a '(__devenv_complete)'
complete -c devenv-compose -f -a '(__devenv_complete)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="The shell.")],
) -> None:
    """Print the completion script for a shell."""
    options.console().line(SCRIPTS[shell].strip())
