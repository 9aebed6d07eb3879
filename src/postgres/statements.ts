/**
 * What a text of SQL does to the transaction and the session it is sent in, as far as the text shows. Pure.
 *
 * What functions do inside cannot be seen; PostgreSQL lets none of them end a transaction that was opened outside.
 */

/** A statement that begins or ends a transaction, at its place in the text. */
export interface Control {
  readonly does: 'begin' | 'commit' | 'rollback';
  readonly start: number;
  readonly end: number;
  /** It asks for what a transaction within another one cannot have. */
  readonly asks: 'nothing' | 'read only' | 'isolation' | 'chain' | 'two phases';
}

export interface Inspection {
  /** In order. Savepoints are none of them. */
  readonly controls: readonly Control[];
  /** Whether there is nothing but one of them. */
  readonly alone: boolean;
  /** Whether it may change what lasts longer than the transaction: settings, role, locks, LISTEN, temporary tables, prepared statements. */
  readonly leavesTraces: boolean;
  /** Whether it may change what lasts as long as the transaction, or longer: settings, also by SET LOCAL, and temporary tables. */
  readonly changesTransaction: boolean;
  /** SET ROLE, also for the transaction only. */
  readonly changesRole: boolean;
  /** SET TRANSACTION READ ONLY. */
  readonly becomesReadOnly: boolean;
}

const HARMLESS: Inspection = {
  controls: [],
  alone: false,
  leavesTraces: false,
  changesTransaction: false,
  changesRole: false,
  becomesReadOnly: false,
};

/** Handlers send the same few texts over and over. */
const inspected = new Map<string, Inspection>();
const MOST_KEPT = 1_000;
const LONGEST_KEPT = 10_000;

export function inspectStatements(text: string): Inspection {
  const known = inspected.get(text);
  if (known !== undefined) return known;
  const inspection = inspect(text);
  if (text.length <= LONGEST_KEPT) {
    if (inspected.size >= MOST_KEPT) inspected.clear();
    inspected.set(text, inspection);
  }
  return inspection;
}

/** Without any of these words nothing of the kind is in it: most texts end here. */
const SUSPICIOUS =
  /\b(?:begin|start|commit|end|rollback|abort|prepare|set|reset|listen|unlisten|load|discard|deallocate|declare|temp|temporary|do|set_config|pg_(?:try_)?advisory_lock(?:_shared)?)\b/i;

function inspect(text: string): Inspection {
  if (!SUSPICIOUS.test(text)) return HARMLESS;
  const code = withoutLiterals(text);
  const controls: Control[] = [];
  let statements = 0;
  let leavesTraces = false;
  let changesTransaction = false;
  let changesRole = false;
  let becomesReadOnly = false;
  // The body of such a function has semicolons of its own.
  const parts = /\bbegin\s+atomic\b/i.test(code) ? [code] : code.split(';');
  let offset = 0;
  for (const part of parts) {
    const statement = part.trim();
    if (statement !== '') {
      statements += 1;
      const start = offset + part.indexOf(statement);
      const raw = text.slice(start, offset + part.length).trimEnd();
      const control = controlOf(statement);
      if (control !== null) controls.push({ ...control, start, end: start + raw.length });
      else {
        leavesTraces ||= leaves(statement, raw);
        changesTransaction ||= changesTheRest(statement, raw);
        changesRole ||=
          /^set\s+(?:local\s+|session\s+)?role\b/i.test(statement) || /\bset_config\s*\(\s*'role'/i.test(raw);
        becomesReadOnly ||= /^set\s+transaction\b.*\bread\s+only\b/is.test(statement);
      }
    }
    offset += part.length + 1;
  }
  return {
    controls,
    alone: statements === 1 && controls.length === 1,
    leavesTraces,
    changesTransaction: leavesTraces || changesTransaction,
    changesRole,
    becomesReadOnly,
  };
}

const BEGIN = /^(?:begin(?:\s+(?:work|transaction))?|start\s+transaction)\b(?<modes>.*)$/is;
const END = /^(?<verb>commit|end|rollback|abort)(?:\s+(?:work|transaction))?(?:\s+and\s+(?:(?<no>no)\s+)?chain)?$/is;

function controlOf(statement: string): Pick<Control, 'does' | 'asks'> | null {
  const modes = BEGIN.exec(statement)?.groups?.['modes'];
  if (modes !== undefined) {
    const asks = /isolation\s+level\s+(?!read\s+(?:un)?committed)/i.test(modes)
      ? 'isolation'
      : /read\s+only/i.test(modes)
        ? 'read only'
        : 'nothing';
    return { does: 'begin', asks };
  }
  if (/^prepare\s+transaction\b/i.test(statement)) return { does: 'commit', asks: 'two phases' };
  const ending = END.exec(statement);
  if (ending === null) return null;
  const verb = ending.groups?.['verb']?.toLowerCase();
  const chains = /\bchain$/i.test(statement) && ending.groups?.['no'] === undefined;
  return { does: verb === 'commit' || verb === 'end' ? 'commit' : 'rollback', asks: chains ? 'chain' : 'nothing' };
}

const LASTING: readonly RegExp[] = [
  /^set\s+(?!local\b|transaction\b|constraints\b)/i,
  /^(?:reset|listen|unlisten|load|discard|deallocate|prepare)\b/i,
  /^declare\b.*\bwith\s+hold\b/is,
  /^create\s+(?:or\s+replace\s+)?(?:(?:local|global)\s+)?temp(?:orary)?\b(?!.*\bon\s+commit\s+drop\b)/is,
  /\binto\s+(?:(?:local|global)\s+)?temp(?:orary)?\b/i,
  /\bpg_(?:try_)?advisory_lock(?:_shared)?\s*\(/i,
  /\bset_config\s*\((?!.*,\s*true\s*\))/is,
];

/** Somewhere in the body of a DO block, whose text is a literal. */
const LASTING_IN_BODY = /\b(?:set\s+(?!local\b)|reset|listen|temp|temporary|set_config|advisory_lock)/i;

function leaves(statement: string, raw: string): boolean {
  return LASTING.some((each) => each.test(statement)) || (/^do\b/i.test(statement) && LASTING_IN_BODY.test(raw));
}

/** Whatever is no trace, but still there for the next one in the same transaction. */
const SETTING: readonly RegExp[] = [
  /^set\b/i,
  /^declare\b/i,
  /^create\s+(?:or\s+replace\s+)?(?:(?:local|global)\s+)?temp(?:orary)?\b/i,
  /\bset_config\s*\(/i,
];
const SETTING_IN_BODY = /\b(?:set|temp|temporary|set_config)\b/i;

function changesTheRest(statement: string, raw: string): boolean {
  return SETTING.some((each) => each.test(statement)) || (/^do\b/i.test(statement) && SETTING_IN_BODY.test(raw));
}

/** The text with blanks for all that is no code: comments, quoted texts and names. Every character left keeps its place. */
function withoutLiterals(text: string): string {
  const code: string[] = [];
  for (let at = 0; at < text.length;) {
    const end = endOfLiteral(text, at);
    code.push(end === at ? (text[at] as string) : ' '.repeat(end - at));
    at = Math.max(end, at + 1);
  }
  return code.join('');
}

/** Where what begins here ends, if it is no code; otherwise `at`. What is not closed lasts to the end. */
function endOfLiteral(text: string, at: number): number {
  switch (text[at]) {
    case "'":
      return endOfQuoted(text, at, "'", /(?:^|[^\w$])e$/i.test(text.slice(Math.max(0, at - 2), at)));
    case '"':
      return endOfQuoted(text, at, '"', false);
    case '-':
      return text[at + 1] === '-' ? orEnd(text, text.indexOf('\n', at)) : at;
    case '/':
      return text[at + 1] === '*' ? endOfComment(text, at) : at;
    case '$': {
      if (/[\w$]/.test(text[at - 1] ?? ' ')) return at;
      const tag = /^\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/.exec(text.slice(at, at + 70))?.[0];
      if (tag === undefined) return at;
      const close = text.indexOf(tag, at + tag.length);
      return close === -1 ? text.length : close + tag.length;
    }
    default:
      return at;
  }
}

function endOfQuoted(text: string, from: number, quote: string, escapes: boolean): number {
  for (let at = from + 1; at < text.length; at += 1) {
    if (escapes && text[at] === '\\') at += 1;
    // A doubled quote is read as two texts side by side, which ends at the same place.
    else if (text[at] === quote) return at + 1;
  }
  return text.length;
}

/** Comments may stand in comments. */
function endOfComment(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at += 1) {
    if (text.startsWith('/*', at)) depth += 1;
    else if (text.startsWith('*/', at)) depth -= 1;
    else continue;
    at += 1;
    if (depth === 0) return at + 1;
  }
  return text.length;
}

function orEnd(text: string, at: number): number {
  return at === -1 ? text.length : at;
}
