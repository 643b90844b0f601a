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
