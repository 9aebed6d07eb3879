/**
 * The fields above a list. What stands in them is the query of the address: choices at once, texts with Enter or when they are left.
 */
import type { VNode } from 'preact';
import { navigate, hrefTo, place } from '../app/router.ts';

export interface FilterField {
  readonly name: string;
  readonly label: string;
  readonly hint?: string;
  /** Absent: a text. The first is for any. */
  readonly choices?: readonly (readonly [value: string, label: string])[];
}

export function Filters({ fields }: { readonly fields: readonly FilterField[] }): VNode {
  const { path, query } = place.value;
  const apply = (form: HTMLFormElement): void => {
    const given = Object.fromEntries(
      [...new FormData(form)].map(([name, value]) => [name, typeof value === 'string' ? value.trim() : '']),
    );
    const href = hrefTo(path, given);
    if (href !== location.pathname + location.search) navigate(href);
  };
  const set = fields.some(({ name }) => (query.get(name) ?? '') !== '');
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
        <label key={field.name} class="field">
          <span>{field.label}</span>
          <FieldInput field={field} value={query.get(field.name) ?? ''} />
        </label>
      ))}
      {set ? (
        <a class="button plain" href={hrefTo(path)}>
          Clear
        </a>
      ) : null}
    </form>
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
