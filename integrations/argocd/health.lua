-- Health of an LLMDeployment for Argo CD: obj is the live object, the result {status, message}.
-- Only the language itself is used, since Argo CD loads no standard library here by default.
--
--   Degraded     a person must act: the spec cannot be followed, a candidate was rolled back, a retirement is overdue, nothing answers
--   Suspended    waiting on purpose: for an approval, for evidence, or in service beyond a date by choice
--   Progressing  not looked at yet, or a short change is under way
--   Healthy      traffic is safe and all is on plan, also in the middle of a rollout that may take days

local function health(status, message)
  return { status = status, message = message }
end

local metadata = obj.metadata or {}
local status = obj.status or {}

if metadata.deletionTimestamp ~= nil then
  return health("Progressing", "being deleted")
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

local function is(kind, value)
  return conditions[kind] ~= nil and conditions[kind].status == value
end

local function words(kind)
  local condition = conditions[kind]
  if condition.message == nil or condition.message == "" then
    return condition.reason or kind
  end
  return (condition.reason or kind) .. ": " .. condition.message
end

-- The schema's default of observedGeneration is -1, so an object that nobody has looked at never passes for healthy.
if status.observedGeneration == nil or status.observedGeneration ~= metadata.generation or conditions.Ready == nil then
  return health("Progressing", "waiting for the operator to look at this object")
end

if is("Stalled", "True") then
  return health("Degraded", words("Stalled"))
end
if is("RetirementOverdue", "True") then
  return health("Degraded", words("RetirementOverdue"))
end
if is("Reconciling", "True") then
  return health("Progressing", words("Reconciling"))
end
if is("Ready", "False") then
  -- The end that was asked for (onRetirement: Refuse) is not a fault.
  if conditions.Ready.reason == "VersionRetired" then
    return health("Suspended", words("Ready"))
  end
  return health("Degraded", words("Ready"))
end
if not is("Ready", "True") then
  return health("Progressing", words("Ready"))
end

local rollout = status.rollout or {}
if status.state == "Held" then
  local why = rollout.message or (conditions.RolloutComplete and conditions.RolloutComplete.message) or "the rollout is held"
  if status.next ~= nil then
    why = why .. "; next: " .. status.next
  end
  return health("Suspended", why)
end
if is("RetirementHeld", "True") then
  return health("Suspended", words("RetirementHeld"))
end

local message = conditions.Ready.message or ""
if status.next ~= nil and status.next ~= "" then
  message = message .. "; next: " .. status.next
end
return health("Healthy", message)
