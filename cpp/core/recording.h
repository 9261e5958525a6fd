#pragma once

namespace tagix {

/// Operations on fixed memory that can be queued as one.
class Recording {
 public:
  virtual ~Recording() = default;
  virtual void queue() = 0;
};

}  // namespace tagix
