// A file that is being imported; the server reads it again whenever the options for reading it change.

import { useRef, useState } from "react";
import { useLimits } from "./api/account";
import { ApiError } from "./api/client";
import { type Parsed, parseFile, type ReadOptions } from "./api/examples";
import { text } from "./components/create/text";
import { fileSize } from "./format";

/** The server's last reading of the file, and functions to read it; earlier replies never replace later ones. */
export function useImport() {
  const [parsed, setParsed] = useState<Parsed>();
  const [error, setError] = useState<{ cause: unknown; retry?: () => void }>();
  const [isReading, setReading] = useState(false);
  const [number, setNumber] = useState(0); // of the file
  const last = useRef<object>(undefined); // the latest read
  const limit = useLimits().requestBytes;

  async function read(file: File, options: ReadOptions) {
    const wanted = (last.current = {});
    const isNewest = () => last.current === wanted;
    setError(undefined);
    setReading(true);
    try {
      const found = await parseFile(file, options);
      if (isNewest()) setParsed(found);
    } catch (problem) {
      if (isNewest()) setError({ cause: problem, retry: () => void read(file, options) });
    } finally {
      if (isNewest()) setReading(false);
    }
  }
  function start(file: File) {
    leave();
    if (limit !== undefined && file.size > limit)
      return setError({ cause: new ApiError(text.import.tooLarge(fileSize(file.size), fileSize(limit)), 400, "") });
    setNumber((before) => before + 1);
    void read(file, {});
  }
  function leave() {
    last.current = undefined;
    setParsed(undefined);
    setError(undefined);
    setReading(false);
  }
  return {
    parsed,
    error,
    isReading,
    number,
    start,
    leave,
    again: (options: ReadOptions) => parsed && void read(parsed.file, options),
  };
}
