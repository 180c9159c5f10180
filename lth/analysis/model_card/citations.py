"""The papers that a model card cites, as BibTeX. They are found by the words with which descriptions cite them.

To add a paper, add it to `PAPERS`, with the words of the descriptions of algorithms and recipes.
"""
import re
from typing import NamedTuple


class Paper(NamedTuple):
    """A paper: the words by which a text of lth cites it, and its BibTeX entry without the braces: key and fields."""

    cited: str
    key: str
    author: str
    title: str
    venue: str
    year: int
    arxiv: str

    def bibtex(self) -> str:
        """The BibTeX entry."""

        fields = {'title': f'{{{self.title}}}', 'author': self.author, 'booktitle': self.venue, 'year': str(self.year),
                  'url': f'https://arxiv.org/abs/{self.arxiv}'}
        lines = [f'  {name} = {{{value}}}' for name, value in fields.items() if value]
        return f'@{"inproceedings" if self.venue else "misc"}{{{self.key},\n' + ',\n'.join(lines) + '\n}'


_FRANKLE, _CARBIN, _DZIUGAITE, _ROY = (
    'Frankle, Jonathan', 'Carbin, Michael', 'Dziugaite, Gintare Karolina', 'Roy, Daniel M.')
PAPERS = (
    Paper('Frankle & Carbin 2019', 'frankle2019lottery', f'{_FRANKLE} and {_CARBIN}',
          'The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural Networks',
          'International Conference on Learning Representations', 2019, '1803.03635'),
    Paper('Frankle et al. 2019', 'frankle2019stabilizing', f'{_FRANKLE} and {_DZIUGAITE} and {_ROY} and {_CARBIN}',
          'Stabilizing the Lottery Ticket Hypothesis', '', 2019, '1903.01611'),
    Paper('Frankle et al. 2020', 'frankle2020linear', f'{_FRANKLE} and {_DZIUGAITE} and {_ROY} and {_CARBIN}',
          'Linear Mode Connectivity and the Lottery Ticket Hypothesis', 'International Conference on Machine Learning',
          2020, '1912.05671'),
    Paper('Renda et al. 2020', 'renda2020comparing', f'Renda, Alex and {_FRANKLE} and {_CARBIN}',
          'Comparing Rewinding and Fine-tuning in Neural Network Pruning',
          'International Conference on Learning Representations', 2020, '2003.02389'),
    Paper('Morcos et al. 2019', 'morcos2019one',
          'Morcos, Ari S. and Yu, Haonan and Paganini, Michela and Tian, Yuandong',
          'One ticket to win them all: generalizing lottery ticket initializations across datasets and optimizers',
          'Advances in Neural Information Processing Systems', 2019, '1906.02773'),
    Paper('Zhou et al. 2019', 'zhou2019deconstructing',
          'Zhou, Hattie and Lan, Janice and Liu, Rosanne and Yosinski, Jason',
          'Deconstructing Lottery Tickets: Zeros, Signs, and the Supermask',
          'Advances in Neural Information Processing Systems', 2019, '1905.01067'),
    Paper('Sreenivasan et al. 2022', 'sreenivasan2022rare',
          'Sreenivasan, Kartik and Sohn, Jy-yong and Yang, Liu and Grinde, Matthew and Nagle, Alliot and Wang, Hongyi '
          'and Xing, Eric and Lee, Kangwook and Papailiopoulos, Dimitris',
          'Rare Gems: Finding Lottery Tickets at Initialization',
          'Advances in Neural Information Processing Systems', 2022, '2202.12002'),
    Paper('Ramanujan et al. 2020', 'ramanujan2020hidden',
          'Ramanujan, Vivek and Wortsman, Mitchell and Kembhavi, Aniruddha and Farhadi, Ali and Rastegari, Mohammad',
          "What's Hidden in a Randomly Weighted Neural Network?",
          'Conference on Computer Vision and Pattern Recognition', 2020, '1911.13299'),
    Paper('Su et al. 2020', 'su2020sanity',
          'Su, Jingtong and Chen, Yihang and Cai, Tianle and Wu, Tianhao and Gao, Ruiqi and Wang, Liwei and Lee, Jason '
          'D.', 'Sanity-Checking Pruning Methods: Random Tickets can Win the Jackpot',
          'Advances in Neural Information Processing Systems', 2020, '2009.11094'),
    Paper('Lee et al. 2019', 'lee2019snip', 'Lee, Namhoon and Ajanthan, Thalaiyasingam and Torr, Philip H. S.',
          'SNIP: Single-shot Network Pruning based on Connection Sensitivity',
          'International Conference on Learning Representations', 2019, '1810.02340'),
    Paper('Wang et al. 2020', 'wang2020picking', 'Wang, Chaoqi and Zhang, Guodong and Grosse, Roger',
          'Picking Winning Tickets Before Training by Preserving Gradient Flow',
          'International Conference on Learning Representations', 2020, '2002.07376'),
    Paper('Tanaka et al. 2020', 'tanaka2020pruning',
          'Tanaka, Hidenori and Kunin, Daniel and Yamins, Daniel L. K. and Ganguli, Surya',
          'Pruning neural networks without any data by iteratively conserving synaptic flow',
          'Advances in Neural Information Processing Systems', 2020, '2006.05467'),
    Paper('Alizadeh et al. 2022', 'alizadeh2022prospect',
          'Alizadeh, Milad and Tailor, Shyam A. and Zintgraf, Luisa M. and van Amersfoort, Joost and Farquhar, '
          'Sebastian and Lane, Nicholas Donald and Gal, Yarin',
          'Prospect Pruning: Finding Trainable Weights at Initialization using Meta-Gradients',
          'International Conference on Learning Representations', 2022, '2202.08132'),
    Paper('Zhu & Gupta 2017', 'zhu2017prune', 'Zhu, Michael and Gupta, Suyog',
          'To prune, or not to prune: exploring the efficacy of pruning for model compression', '', 2017,
          '1710.01878'),
    Paper('Mocanu et al. 2018', 'mocanu2018scalable',
          'Mocanu, Decebal Constantin and Mocanu, Elena and Stone, Peter and Nguyen, Phuong H. and Gibescu, Madeleine '
          'and Liotta, Antonio',
          'Scalable training of artificial neural networks with adaptive sparse connectivity inspired by network '
          'science', '', 2018, '1707.04780'),
    Paper('Evci et al. 2020', 'evci2020rigging',
          'Evci, Utku and Gale, Trevor and Menick, Jacob and Castro, Pablo Samuel and Elsen, Erich',
          'Rigging the Lottery: Making All Tickets Winners', 'International Conference on Machine Learning', 2020,
          '1911.11134'),
    Paper('Peste et al. 2021', 'peste2021acdc',
          'Peste, Alexandra and Iofinova, Eugenia and Vladu, Adrian and Alistarh, Dan',
          'AC/DC: Alternating Compressed/DeCompressed Training of Deep Neural Networks',
          'Advances in Neural Information Processing Systems', 2021, '2106.12379'),
    Paper('Liu et al. 2021', 'liu2021sparse',
          'Liu, Shiwei and Chen, Tianlong and Chen, Xiaohan and Atashgahi, Zahra and Yin, Lu and Kou, Huanyu and Shen, '
          'Li and Pechenizkiy, Mykola and Wang, Zhangyang and Mocanu, Decebal Constantin',
          'Sparse Training via Boosting Pruning Plasticity with Neuroregeneration',
          'Advances in Neural Information Processing Systems', 2021, '2106.10404'),
    Paper('Yin et al. 2023', 'yin2023lottery',
          'Yin, Lu and Liu, Shiwei and Fang, Meng and Huang, Tianjin and Menkovski, Vlado and Pechenizkiy, Mykola',
          'Lottery Pools: Winning More by Interpolating Tickets without Increasing Training or Inference Cost',
          'AAAI Conference on Artificial Intelligence', 2023, '2208.10842'),
    Paper('You et al. 2020', 'you2020drawing',
          'You, Haoran and Li, Chaojian and Xu, Pengfei and Fu, Yonggan and Wang, Yue and Chen, Xiaohan and Baraniuk, '
          'Richard G. and Wang, Zhangyang and Lin, Yingyan',
          'Drawing Early-Bird Tickets: Towards More Efficient Training of Deep Networks',
          'International Conference on Learning Representations', 2020, '1909.11957'),
    Paper('Adnan et al. 2025', 'adnan2025sparse',
          'Adnan, Mohammed and Jain, Rohan and Sharma, Ekansh and Krishnan, Rahul and Ioannou, Yani',
          'Sparse Training from Random Initialization: Aligning Lottery Ticket Masks using Weight Symmetry',
          'International Conference on Machine Learning', 2025, '2505.05143'),
    Paper('2406.02773', 'gadhikar2024cyclic', 'Gadhikar, Advait and Nelaturu, Sree Harsha and Burkholz, Rebekka',
          'Cyclic Sparse Training: Is it Enough?', '', 2024, '2406.02773'))

# Of CITATION.cff, which is a file of the repository and not of the package; a test compares both.
SOFTWARE = '''@software{{lth,
  title = {{lth: a workbench for lottery tickets and rare gems}},
  author = {{{{The lth authors}}}},
  version = {{{version}}},
  license = {{MIT}}
}}'''


def cited_papers(text: str) -> list[Paper]:
    """The papers that a text cites, in the order of `PAPERS`. Rare Gems is also cited by its name."""

    return [paper for paper in PAPERS if paper.cited in text
            or (paper.cited == 'Sreenivasan et al. 2022' and 'Rare Gems' in text)]


def cited_preprints(text: str) -> list[str]:
    """The numbers of the arXiv preprints that a text cites by number, without those in `PAPERS`."""

    known = {paper.arxiv for paper in PAPERS}
    return [number for number in dict.fromkeys(re.findall(r'arXiv (\d{4}\.\d{5})', text)) if number not in known]
