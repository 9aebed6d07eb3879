/**
 * What can stand where on a command line, read from the verbs themselves, so that completion knows all there is. Pure.
 */
import type { Command } from 'commander';

export interface CompletionWord {
  readonly word: string;
  readonly description: string;
}

export interface CompletionFlag extends CompletionWord {
  readonly takesValue: boolean;
}

/** What can follow behind `at`: the verbs so far, each after a space. '' is the program alone. */
export interface CompletionPlace {
  readonly at: string;
  /** And what an argument can be, where there are few. */
  readonly verbs: readonly CompletionWord[];
  readonly flags: readonly CompletionFlag[];
}

export function completionPlaces(command: Command, at = ''): readonly CompletionPlace[] {
  const helper = command.createHelp();
  const commands = helper.visibleCommands(command).filter((each) => each.name() !== 'help');
  const flags = helper.visibleOptions(command).flatMap(({ long, description, required }) => {
    return typeof long === 'string' ? [{ word: long, description: plain(description), takesValue: required }] : [];
  });
  const verbs = commands.map((each) => ({ word: each.name(), description: plain(each.description()) }));
  const choices = command.registeredArguments.flatMap(({ argChoices = [], description }) =>
    argChoices.map((word) => ({ word, description: plain(description) })),
  );
  return [
    { at, verbs: [...verbs, ...choices], flags },
    ...commands.flatMap((each) => completionPlaces(each, `${at} ${each.name()}`)),
  ];
}

/** Flags behind which a value comes, wherever they stand. */
export function flagsWithValue(places: readonly CompletionPlace[]): readonly string[] {
  const flags = places.flatMap((place) => place.flags);
  return [...new Set(flags.filter(({ takesValue }) => takesValue).map(({ word }) => word))].toSorted();
}

/** One line, in characters that need no escape but the single quote. */
function plain(text: string): string {
  return text.replaceAll(/[\s\\]+/g, ' ').trim();
}

/** In single quotes, as bash and zsh read it. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
