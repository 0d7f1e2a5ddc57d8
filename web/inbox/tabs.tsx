import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { isTypedInto } from './keys.ts';

export interface Tab<Name extends string> {
  readonly name: Name;
  readonly title: string;
  readonly isDisabled?: boolean;
  readonly show: () => ComponentChildren;
}

export interface TabsProps<Name extends string> {
  readonly label: string;
  readonly tabs: readonly Tab<Name>[];
  readonly chosen: Name;
  readonly onChoose: (name: Name) => void;
}

/** Tabs as the ARIA Authoring Practices have them: arrows go from one to the next. The keys 1 to 9 choose one from anywhere. */
export function Tabs<Name extends string>({ label, tabs, chosen, onChoose }: TabsProps<Name>) {
  const list = useRef<HTMLDivElement>(null);
  const choices = useRef(tabs);
  choices.current = tabs;

  // Before it is painted: who sees the tabs may press a key.
  useLayoutEffect(() => {
    const press = ({ key, target, ctrlKey, metaKey, altKey }: KeyboardEvent) => {
      if (ctrlKey || metaKey || altKey || !(target instanceof Element)) return;
      if (isTypedInto(target)) return;
      const tab = /^[1-9]$/.test(key) ? choices.current[Number(key) - 1] : undefined;
      if (tab && !tab.isDisabled) onChoose(tab.name);
    };
    addEventListener('keydown', press);
    return () => removeEventListener('keydown', press);
  }, [onChoose]);

  function turn(event: KeyboardEvent) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    const usable = tabs.filter(({ isDisabled }) => !isDisabled);
    const at = usable.findIndex(({ name }) => name === chosen);
    const tab = usable[(at + by + usable.length) % usable.length];
    if (!tab) return;
    onChoose(tab.name);
    list.current?.querySelector<HTMLElement>(`#tab-${tab.name}`)?.focus();
  }

  const shown = tabs.find(({ name }) => name === chosen) ?? tabs[0];
  return (
    <>
      <div ref={list} class="tabs" role="tablist" aria-label={label} onKeyDown={turn}>
        {tabs.map(({ name, title, isDisabled }) => (
          <button
            type="button"
            key={name}
            id={`tab-${name}`}
            role="tab"
            aria-selected={name === chosen}
            aria-controls="panel"
            tabIndex={name === chosen ? 0 : -1}
            disabled={isDisabled}
            onClick={() => onChoose(name)}
          >
            {title}
          </button>
        ))}
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what is read is scrolled by the keyboard */}
      <div id="panel" class={`panel panel-${chosen}`} role="tabpanel" aria-labelledby={`tab-${chosen}`} tabIndex={0}>
        {shown?.show()}
      </div>
    </>
  );
}
