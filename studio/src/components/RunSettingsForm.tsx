import type { RunSettings } from "../api/answers";
import { text } from "../text/en";
import { NumberInput } from "./NumberInput";

/** How answers are drawn. */
export function RunSettingsForm({
  settings,
  change,
}: {
  settings: RunSettings;
  change: (next: RunSettings) => void;
}) {
  return (
    <aside className="card stack sticky">
      <h2>{text.playground.settings}</h2>
      <NumberInput
        label={text.playground.temperature}
        value={settings.temperature}
        change={(temperature) => change({ ...settings, temperature })}
        min={0}
        max={2}
      />
      <NumberInput
        label={text.playground.topP}
        value={settings.topP}
        change={(topP) => change({ ...settings, topP })}
        min={0}
        max={1}
      />
      <NumberInput
        label={text.playground.maxTokens}
        value={settings.maxOutputTokens}
        change={(maxOutputTokens) => change({ ...settings, maxOutputTokens })}
        min={1}
        max={8192}
      />
    </aside>
  );
}
