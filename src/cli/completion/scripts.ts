/**
 * The completion of a shell, as a script for it. Each walks along the words before the cursor, passes by the values of flags, and so knows
 * behind which verbs it stands. Pure.
 */
import { flagsWithValue, quoted, type CompletionPlace } from './tree.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type CompletedShell = (typeof SHELLS)[number];

export function completionScript(shell: CompletedShell, places: readonly CompletionPlace[]): string {
  return { bash, zsh, fish }[shell](places);
}

function bash(places: readonly CompletionPlace[]): string {
  const known = places.filter(({ at }) => at !== '').map(({ at }) => quoted(at));
  return `# In ~/.bashrc: source <(holdfast completion bash)
_holdfast() {
  local at='' word='' words='' i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    case "$word" in
      ${flagsWithValue(places).join('|')})
        if ((i == COMP_CWORD - 1)); then
          COMPREPLY=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}"))
          return
        fi
        i=$((i + 1))
        continue
        ;;
    esac
    case "$at $word" in
      ${known.join('|')}) at="$at $word" ;;
    esac
  done
  case "$at" in
${places.map(({ at, verbs, flags }) => `    ${quoted(at)}) words=${quoted([...verbs, ...flags].map(({ word }) => word).join(' '))} ;;`).join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _holdfast holdfast`;
}

function zsh(places: readonly CompletionPlace[]): string {
  const known = places.filter(({ at }) => at !== '').map(({ at }) => quoted(at));
  const described = ({ verbs, flags }: CompletionPlace): string =>
    [...verbs, ...flags].map(({ word, description }) => quoted(`${word}:${description}`)).join(' ');
  return `# In ~/.zshrc, behind compinit: source <(holdfast completion zsh)
_holdfast() {
  local at='' word='' i
  local -a found
  for ((i = 2; i < CURRENT; i++)); do
    word=\${words[i]}
    case "$word" in
      (${flagsWithValue(places).join('|')})
        if ((i == CURRENT - 1)); then
          _files
          return
        fi
        i=$((i + 1))
        continue
        ;;
    esac
    case "$at $word" in
      (${known.join('|')}) at="$at $word" ;;
    esac
  done
  case "$at" in
${places.map((place) => `    (${quoted(place.at)}) found=(${described(place)}) ;;`).join('\n')}
  esac
  _describe -V holdfast found || _files
}
compdef _holdfast holdfast`;
}

function fish(places: readonly CompletionPlace[]): string {
  const known = places.filter(({ at }) => at !== '').map(({ at }) => fishQuoted(at));
  const when = (at: string): string => `-n ${fishQuoted(`__holdfast_at ${fishQuoted(at)}`)}`;
  const lines = places.flatMap(({ at, verbs, flags }) => [
    ...verbs.map((verb) => `complete -c holdfast ${when(at)} -f -a ${verb.word} -d ${fishQuoted(verb.description)}`),
    ...flags.map(
      ({ word, description, takesValue }) =>
        `complete -c holdfast ${when(at)} -l ${word.slice(2)}${takesValue ? ' -r' : ' -f'} -d ${fishQuoted(description)}`,
    ),
  ]);
  return `# holdfast completion fish > ~/.config/fish/completions/holdfast.fish
function __holdfast_at
  set -l at ''
  set -l is_value 0
  for word in (commandline -opc)[2..-1]
    if test $is_value = 1
      set is_value 0
    else if contains -- $word ${flagsWithValue(places).join(' ')}
      set is_value 1
    else if contains -- "$at $word" ${known.join(' ')}
      set at "$at $word"
    end
  end
  test "$at" = "$argv[1]"
end
${lines.join('\n')}`;
}

function fishQuoted(text: string): string {
  return `'${text.replaceAll(/['\\]/g, String.raw`\$&`)}'`;
}
