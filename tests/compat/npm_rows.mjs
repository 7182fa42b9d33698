// Each function of the TypeScript SDK that is in scope, once. A row is its name, what does it (truthy when all is
// right), and for a call that must fail a part of its error. A line of JSON is printed for each.
import { pathToFileURL } from "node:url";

const ax = await import(pathToFileURL(process.env.COMPAT_PACKAGE).href);
const w = JSON.parse(process.env.COMPAT_WORLD);
const only = process.argv[2] ?? "";
const client = ax.createClient({ apiKey: process.env.COMPAT_KEY, baseUrl: w.address });
const space = "compat";

const managed = { type: "MANAGED", name: "parses", managed_evaluator: "JSON_PARSEABLE", variables: ["output"] };
const generation = {
  experiment_type: "LLM_GENERATION", ai_integration_id: w.ai_integration_id, model_name: "judge",
  messages: [{ role: "USER", content: "{{question}}" }], input_variable_format: "MUSTACHE",
};
const attached = [{ evaluatorId: w.evaluator_id, columnMappings: { output: "attributes.output.value" } }];
const saidOf = (recordId) => [{ recordId, record_id: recordId, values: [{ name: "tone", label: "good", score: 1 }] }];
const names = (page) => new Set(page.data.map((item) => item.name));
const day = () => ({ dataStartTime: new Date(Date.now() - 86_400_000), dataEndTime: new Date() });
const keyOf = (item) => item.id ?? item.context.spanId;

// Checks that pages of one item contain the same items as one large page, each once.
async function walk(list, rest = {}) {
  const large = await list({ client, limit: 100, ...rest });
  const found = [];
  let cursor;
  for (let turn = 0; turn < 200; turn += 1) {
    const page = await list({ client, limit: 1, ...(cursor ? { cursor } : {}), ...rest });
    found.push(...page.data.map(keyOf));
    cursor = page.pagination.nextCursor;
    if (!cursor) break;
  }
  const wanted = large.data.map(keyOf);
  return found.length > 1 && JSON.stringify(found) === JSON.stringify(wanted);
}

const rows = [];
const row = (call, does, fails, whyNot) => rows.push({ call, does, fails, whyNot });

// --- tasks
row("listTasks({ space })", async () => names(await ax.listTasks({ client, space })).has("on spans"));
row("listTasks({ project, space, type })", async () =>
  (await ax.listTasks({ client, project: "chat", space, type: "CODE_EVALUATION" })).data.length > 0);
row("listTasks, pages of one", () => walk(ax.listTasks, { space: w.space_id }));
row("getTask(id)", async () => (await ax.getTask({ client, task: w.task_id })).evaluators[0].evaluatorId === w.evaluator_id);
row("getTask(name, space)", async () => (await ax.getTask({ client, task: "on spans", space })).id === w.task_id);
row("getTask(unknown id)", () => ax.getTask({ client, task: "T25saW5lVGFzazoxOm5vbmU=" }), "There is no task", "refused");
row("getTask(unknown name)", () => ax.getTask({ client, task: "zzz", space }), "zzz", "refused");
row("createTask(evaluation)", async () => (await ax.createTask({
  client, name: "by npm", type: "CODE_EVALUATION", project: "chat", space, evaluators: attached, samplingRate: 0.5,
})).samplingRate === 0.5);
row("createEvaluationTask", async () => (await ax.createEvaluationTask({
  client, name: "by npm, dataset", type: "CODE_EVALUATION", dataset: w.dataset_id, experimentIds: [w.experiment_id],
  evaluators: attached,
})).experimentIds[0] === w.experiment_id);
row("createEvaluationTask(a name that is taken)", () => ax.createEvaluationTask({
  client, name: "on spans", type: "CODE_EVALUATION", project: w.project_id, evaluators: attached,
}), "another task of the space has this name", "refused");
row("createRunExperimentTask", async () => (await ax.createRunExperimentTask({
  client, name: "by npm, generation", dataset: "gold", space, runConfiguration: generation,
})).runConfiguration.model_name === "judge");
row("updateTask", async () => (await ax.updateTask({
  client, task: w.mine_task_id, name: "renamed by npm", queryFilter: "span_kind = 'LLM'",
})).queryFilter === "span_kind = 'LLM'");
row("updateTask({ queryFilter: null })", async () =>
  (await ax.updateTask({ client, task: w.mine_task_id, queryFilter: null })).queryFilter === null);
row("triggerTaskRun and waitForTaskRun", async () => {
  const run = await ax.triggerTaskRun({ client, task: "on spans", space, maxSpans: 2, overrideEvaluations: true, ...day() });
  return (await ax.waitForTaskRun({ client, runId: run.id, pollInterval: 0.2 })).numSuccesses === 2;
});
row("listTaskRuns({ status })", async () =>
  (await ax.listTaskRuns({ client, task: w.task_id, status: "COMPLETED" })).data.every((run) => run.status === "COMPLETED"));
row("listTaskRuns, pages of one", () => walk(ax.listTaskRuns, { task: w.task_id }));
row("getTaskRun", async () => (await ax.getTaskRun({ client, runId: w.task_run_id })).numErrors === 0);
row("cancelTaskRun", async () => (await ax.cancelTaskRun({ client, runId: w.spare_task_run_id })).status === "CANCELLED");
row("cancelTaskRun(a run that is over)", () => ax.cancelTaskRun({ client, runId: w.task_run_id }), "COMPLETED", "refused");
row("deleteTask", async () => (await ax.deleteTask({ client, task: w.spare_task_id })) === undefined);
// --- spaces
row("listSpaces", async () => names(await ax.listSpaces({ client, name: "OMPA" })).has(space));
row("listSpaces, pages of one", () => walk(ax.listSpaces));
row("getSpace", async () => (await ax.getSpace({ client, space })).id === w.space_id);
row("createSpace", async () => (await ax.createSpace({ client, name: "by npm", organizationId: w.organization_id })).id);
row("updateSpace", async () => (await ax.updateSpace({ client, space: w.mine_space_id, name: "renamed by npm" })).name === "renamed by npm");
row("deleteSpace", async () => (await ax.deleteSpace({ client, space: w.spare_space_id })) === undefined);
// --- projects
row("listProjects", async () => names(await ax.listProjects({ client, space, name: "CHAT" })).has("chat"));
row("listProjects, pages of one", () => walk(ax.listProjects, { space }));
row("getProject", async () => (await ax.getProject({ client, project: "chat", space })).id === w.project_id);
row("createProject", async () => (await ax.createProject({ client, name: "by npm", space })).spaceId === w.space_id);
row("updateProject", async () => (await ax.updateProject({ client, project: w.mine_project_id, name: "renamed npm" })).name === "renamed npm");
row("deleteProject", async () => (await ax.deleteProject({ client, project: w.spare_project_id })) === undefined);
// --- datasets
row("listDatasets", async () => names(await ax.listDatasets({ client, space })).has("gold"));
row("listDatasets, pages of one", () => walk(ax.listDatasets, { space }));
row("getDataset", async () => (await ax.getDataset({ client, dataset: "gold", space })).versions.length === 1);
row("createDataset", async () => (await ax.createDataset({ client, name: "by npm", space, examples: [{ question: "q" }] })).id);
row("updateDataset", async () => (await ax.updateDataset({ client, dataset: w.mine_dataset_id, name: "renamed npm" })).name === "renamed npm");
row("listDatasetExamples", async () => (await ax.listDatasetExamples({ client, dataset: "gold", space })).data.length === 3);
row("listDatasetExamples, pages of one", () => walk(ax.listDatasetExamples, { dataset: w.dataset_id }));
row("appendExamples", async () => (await ax.appendExamples({ client, dataset: w.mine_dataset_id, examples: [{ question: "late" }] })).exampleIds.length === 1);
row("updateExamples", async () => (await ax.updateExamples({
  client, dataset: w.mine_dataset_id, examples: [{ id: w.mine_example_id, question: "x" }], newVersion: "second",
})).exampleIds[0] === w.mine_example_id);
row("annotateDatasetExamples", async () => {
  await ax.annotateDatasetExamples({ client, dataset: w.dataset_id, annotations: saidOf(w.example_id) });
  return (await ax.listDatasetExamples({ client, dataset: w.dataset_id })).data[0].annotations[0].label === "good";
});
row("deleteDatasetExamples", async () => (await ax.deleteDatasetExamples({
  client, dataset: w.spare_dataset_id, datasetVersionId: w.spare_dataset_version_id, examples: [w.spare_example_id],
})).deletedExampleIds.length === 1);
row("deleteDataset", async () => (await ax.deleteDataset({ client, dataset: w.spare_dataset_2_id })) === undefined);
// --- experiments
row("listExperiments", async () => names(await ax.listExperiments({ client, dataset: "gold", space })).has("baseline"));
row("listExperiments, pages of one", () => walk(ax.listExperiments, { space }));
row("getExperiment", async () => (await ax.getExperiment({ client, experiment: "baseline", dataset: "gold", space })).id === w.experiment_id);
row("getExperiment(an ambiguous name)", () => ax.getExperiment({ client, experiment: "baseline", space }), "baseline", "refused");
row("createExperiment", async () => (await ax.createExperiment({
  client, experimentName: "by npm", dataset: "gold", space, experimentRuns: [{ exampleId: w.example_id, output: "x" }],
})).datasetId === w.dataset_id);
row("listExperimentRuns", async () => (await ax.listExperimentRuns({ client, experiment: w.experiment_id })).data.length === 3);
row("listExperimentRuns, pages of one", () => walk(ax.listExperimentRuns, { experiment: w.experiment_id }));
row("appendExperimentRuns", async () => (await ax.appendExperimentRuns({
  client, experiment: w.mine_experiment_id, experimentRuns: [{ exampleId: w.example_id, output: "more" }],
})).runIds.length === 1);
row("annotateExperimentRuns", async () =>
  (await ax.annotateExperimentRuns({ client, experiment: w.experiment_id, annotations: saidOf(w.experiment_run_id) })) === undefined);
row("deleteExperiment", async () => (await ax.deleteExperiment({ client, experiment: w.spare_experiment_id })) === undefined);
// --- evaluators
row("listEvaluators", async () => names(await ax.listEvaluators({ client, space })).has("correct"));
row("listEvaluators, pages of one", () => walk(ax.listEvaluators, { space }));
row("getEvaluator", async () => (await ax.getEvaluator({ client, evaluator: "correct", space })).version.id);
row("createTemplateEvaluator", async () => (await ax.createTemplateEvaluator({
  client, name: "judge by npm", space, commitMessage: "first",
  templateConfig: {
    name: "correct", template: "Is {output} right?", includeExplanations: true, useFunctionCallingIfAvailable: true,
    classificationChoices: { yes: 1, no: 0 },
    llmConfig: { aiIntegrationId: w.ai_integration_id, modelName: "judge", invocationParameters: {}, providerParameters: {} },
  },
})).version.id);
row("createCodeEvaluator", async () => (await ax.createCodeEvaluator({
  client, name: "code by npm", space, commitMessage: "first",
  codeConfig: { ...managed, managedEvaluator: managed.managed_evaluator },
})).type === "CODE");
row("createCodeEvaluatorVersion", async () => (await ax.createCodeEvaluatorVersion({
  client, evaluator: w.mine_evaluator_id, commitMessage: "more",
  codeConfig: { ...managed, managedEvaluator: managed.managed_evaluator },
})).id);
row("listEvaluatorVersions, pages of one", () => walk(ax.listEvaluatorVersions, { evaluator: w.mine_evaluator_id }));
row("getEvaluatorVersion", async () => (await ax.getEvaluatorVersion({ client, versionId: w.evaluator_version_id })).id);
row("updateEvaluator", async () => (await ax.updateEvaluator({ client, evaluator: w.mine_evaluator_id, name: "renamed npm" })).name === "renamed npm");
row("deleteEvaluator(one a task uses)", () => ax.deleteEvaluator({ client, evaluator: w.evaluator_id }), "on spans", "refused");
row("deleteEvaluator", async () => (await ax.deleteEvaluator({ client, evaluator: w.spare_evaluator_id })) === undefined);
// --- AI integrations
row("listAiIntegrations", async () => names(await ax.listAiIntegrations({ client })).has("local"));
row("listAiIntegrations, pages of one", () => walk(ax.listAiIntegrations));
row("getAiIntegration", async () => (await ax.getAiIntegration({ client, integration: "local", aiIntegration: "local", space })).provider === "CUSTOM");
row("createAiIntegration", async () => (await ax.createAiIntegration({ client, name: "by npm", provider: "CUSTOM", baseUrl: "http://127.0.0.1:9/v1" })).id);
row("createAiIntegration({ apiKey })", () => ax.createAiIntegration({ client, name: "keyed", provider: "OPEN_AI", apiKey: "never-stored" }), "api_key_env", "keys");
row("deleteAiIntegration", async () => (await ax.deleteAiIntegration({
  client, integration: w.spare_ai_integration_id, aiIntegration: w.spare_ai_integration_id,
})) === undefined);
// --- annotation configs
row("listAnnotationConfigs", async () => names(await ax.listAnnotationConfigs({ client, space })).has("tone"));
row("listAnnotationConfigs, pages of one", () => walk(ax.listAnnotationConfigs, { space }));
row("getAnnotationConfig", async () => (await ax.getAnnotationConfig({ client, annotationConfig: "tone", space })).values.length === 2);
row("createContinuousAnnotationConfig", async () => (await ax.createContinuousAnnotationConfig({
  client, name: "by npm 1", space, minimumScore: 0, maximumScore: 1,
})).maximumScore === 1);
row("createCategoricalAnnotationConfig", async () => (await ax.createCategoricalAnnotationConfig({
  client, name: "by npm 2", space, values: [{ label: "a", score: 1 }, { label: "b", score: 0 }],
})).values.length === 2);
row("createFreeformAnnotationConfig", async () => (await ax.createFreeformAnnotationConfig({ client, name: "by npm 3", space })).type === "FREEFORM");
row("updateFreeformAnnotationConfig", async () => (await ax.updateFreeformAnnotationConfig({
  client, annotationConfig: w.mine_annotation_config_id, name: "renamed npm",
})).name === "renamed npm");
row("deleteAnnotationConfig", async () =>
  (await ax.deleteAnnotationConfig({ client, annotationConfig: w.spare_annotation_config_id })) === undefined);
// --- spans
row("listSpans", async () => (await ax.listSpans({
  client, project: "chat", space, filter: "eval.is_answer.label IS NOT NULL",
})).data[0].evaluations[0].name === "is_answer");
row("listSpans, pages of one", () => walk(ax.listSpans, { project: w.project_id }));
row("annotateSpans", async () => {
  await ax.annotateSpans({ client, project: w.project_id, annotations: saidOf("span-6") });
  const found = await ax.listSpans({ client, project: w.project_id, filter: "context.span_id = 'span-6'" });
  return found.data[0].annotations[0].label === "good";
});
row("annotateSpans(unknown span)", () => ax.annotateSpans({ client, project: w.project_id, annotations: saidOf("no") }), "Nothing was written", "refused");
row("deleteSpans", async () => (await ax.deleteSpans({ client, project: w.project_id, spanIds: ["spare-npm"] })).completed);
// --- out of scope
row("listPrompts", async () => (await ax.listPrompts({ client, space })).data.length === 0);
row("listUsers", async () => (await ax.listUsers({ client })).data.length === 0);

for (const { call, does, fails, whyNot } of rows) {
  if (!call.includes(only)) continue;
  let issue = null;
  try {
    const found = await does();
    if (fails) issue = "expected an error, got an answer";
    else if (!found) issue = `the answer was not as expected (${JSON.stringify(found)})`;
  } catch (error) {
    const said = `${error.name}: ${error.message} ${JSON.stringify(error)}`;
    if (!fails || !said.includes(fails)) issue = said;
  }
  console.log(JSON.stringify({ call, why_not: whyNot ?? null, issue }));
}
