import { Button, FileTrigger } from "react-aria-components";
import { download } from "../../download";
import { settingsFrom, settingsOf, type Draft } from "../../draft";
import { text } from "../../text/en";
import { toast } from "../../toasts";

/** Settings into a file and back; examples stay as they are. */
export function SettingsFile({ draft, change }: { draft: Draft; change: (part: Partial<Draft>) => void }) {
  async function load(file: File) {
    const found = settingsFrom(
      await file
        .text()
        .then(JSON.parse)
        .catch(() => undefined),
    );
    if (found) change({ ...found, source: draft.source });
    else toast(text.create.badSettings, { kind: "bad" });
  }
  return (
    <div className="row">
      <Button
        onPress={() =>
          download("tuning-settings.json", JSON.stringify(settingsOf(draft), null, 2), "application/json")
        }
      >
        {text.create.saveSettings}
      </Button>
      <FileTrigger
        acceptedFileTypes={[".json", "application/json"]}
        onSelect={(files) => files?.[0] && void load(files[0])}
      >
        <Button>{text.create.loadSettings}</Button>
      </FileTrigger>
    </div>
  );
}
