// The code of a run: what was saved at its start, and the files of `run.log_code()`.
import { isLocalUrl, type Answer, type Api, type Schema } from "../../lib/api";

export const CODE_FOLDER = "code/";
/** Whether a file is code or the difference to the commit. */
export const isCode = ({ path }: { path: string }): boolean => path === "diff.patch" || path.startsWith(CODE_FOLDER);

/** The most files of one artifact that are listed. */
const MOST = 1000;

/** Returns code and the difference to the commit. Files of artifacts are listed below `code/`, as saved files are. */
export async function loadCode(
  api: Api,
  entity: string,
  project: string,
  run: string,
  saved: Schema<"FactsFile">[],
  signal: AbortSignal,
): Promise<Schema<"FactsFile">[]> {
  const files = new Map(saved.filter((file) => isLocalUrl(file.url) && isCode(file)).map((file) => [file.path, file]));
  const logged = (await api.artifacts(entity, project, run, signal)).filter((each) => each.type === "code");
  // The list begins with the newest version. The tab Artifacts has older ones.
  const newest = [...new Map(logged.reverse().map((each) => [each.name, each])).values()];
  for (const version of newest) {
    const segments = ["projects", version.entity, version.project, "artifacts", version.name, version.version];
    const list = await api.call<Answer<"list_version_files">>([...segments, "files"], { params: { limit: MOST }, signal });
    for (const { path: inside, size, sha256, ref } of list.files) {
      if (ref !== null || sha256 === null) continue; // the content is not in the store
      const known = files.get(CODE_FOLDER + inside);
      const path = known === undefined || known.sha256 === sha256 ? CODE_FOLDER + inside : `${CODE_FOLDER}${version.name}/${inside}`;
      files.set(path, { path, size, sha256, url: api.address([...segments, "files", ...inside.split("/")]) });
    }
  }
  return [...files.values()];
}
