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
