import { useEffect, useState } from "react";
import { text } from "../text/en";

const PAUSE_MS = 300; // what comes sooner needs no stand-in

/** Grey rows where real ones will be. */
export function Skeleton({ rows = 4 }: { rows?: number }) {
  const [isShown, setShown] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setShown(true), PAUSE_MS);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div className="skeleton" role="status" aria-label={text.common.loading}>
      {isShown && Array.from({ length: rows }, (_, row) => <div key={row} aria-hidden="true" />)}
    </div>
  );
}
