/**
 * The fields above a list. What stands in them is the query of the address: choices at once, texts with Enter or when they are left.
 */
import type { VNode } from 'preact';
import { navigate, hrefTo, place } from '../app/router.ts';

export interface FilterField {
  readonly name: string;
  readonly label: string;
  readonly hint?: string;
  /** A text that needs room. */
  readonly long?: boolean;
  /** Absent: a text. The first is for any. */
  readonly choices?: readonly (readonly [value: string, label: string])[];
}

interface FiltersProps {
  readonly fields: readonly FilterField[];
  /** Behind a word: those that are seldom needed. */
  readonly more?: readonly FilterField[];
}

export function Filters({ fields, more = [] }: FiltersProps): VNode {
  const { path, query } = place.value;
  const apply = (form: HTMLFormElement): void => {
    const given = Object.fromEntries(
      [...new FormData(form)].map(([name, value]) => [name, typeof value === 'string' ? value.trim() : '']),
    );
    const href = hrefTo(path, given);
    if (href !== location.pathname + location.search) navigate(href);
  };
  const isSet = ({ name }: FilterField): boolean => (query.get(name) ?? '') !== '';
  return (
    <form
      class="filters"
      role="search"
      aria-label="Filters"
      onSubmit={(event) => {
        event.preventDefault();
        apply(event.currentTarget);
      }}
      onChange={(event) => apply(event.currentTarget)}
    >
      {fields.map((field) => (
        <LabelledField key={field.name} field={field} query={query} />
      ))}
      {[...fields, ...more].some(isSet) ? (
        <a class="button plain" href={hrefTo(path)}>
          Clear
        </a>
      ) : null}
      {more.length === 0 ? null : (
        <details class="more-fields" open={more.some(isSet)}>
          <summary>More fields</summary>
          <div>
            {more.map((field) => (
              <LabelledField key={field.name} field={field} query={query} />
            ))}
          </div>
        </details>
      )}
    </form>
  );
}

interface LabelledFieldProps {
  readonly field: FilterField;
  readonly query: URLSearchParams;
}

function LabelledField({ field, query }: LabelledFieldProps): VNode {
  return (
    <label class={field.long === true ? 'field long' : 'field'}>
      <span>{field.label}</span>
      <FieldInput field={field} value={query.get(field.name) ?? ''} />
    </label>
  );
}

function FieldInput({ field, value }: { readonly field: FilterField; readonly value: string }): VNode {
  const { name, hint, choices } = field;
  if (choices === undefined)
    return (
      <input
        key={value}
        name={name}
        defaultValue={value}
        placeholder={hint ?? ''}
        autocomplete="off"
        spellcheck={false}
      />
    );
  return (
    <select key={value} name={name} defaultValue={value}>
      {choices.map(([each, label]) => (
        <option key={each} value={each} selected={each === value}>
          {label}
        </option>
      ))}
    </select>
  );
}
