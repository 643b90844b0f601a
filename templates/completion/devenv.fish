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
